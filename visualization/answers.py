"""Answers together with what is needed to show where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lxmert.processing import LxmertProcessor, Question, Regions, RegionSource
from lxmert.processing.region_extractor import ImageInput

BATCH_SIZE = 8


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question about an image or a pair, the likeliest answers, and the regions that the model looked at.

    Args:
        image: a picture, or None where there is none to show; two of these in a tuple for a pair, left and right.
        question: the text.
        answers: (answer, probability), the likeliest first; the probability is None where it is not known.
        regions: of the image; two in a tuple for a pair.
        region_weights: (R,), attention on each region, summing to 1, see `region_attention`; two in a tuple for a
            pair; None where the attention is not known.
        truth: the right answer, where it is known.
        caption: what to call the question beneath its picture.
    """

    image: ImageInput | tuple[ImageInput, ImageInput] | None
    question: str
    answers: Sequence[tuple[str, float | None]]
    regions: Regions | tuple[Regions, Regions]
    region_weights: np.ndarray | tuple[np.ndarray, np.ndarray] | None = None
    truth: str | None = None
    caption: str = ""

    @property
    def views(self) -> list[tuple[ImageInput | None, Regions, np.ndarray | None]]:
        """Picture, regions and their weights of the image, or of both images of a pair."""
        if isinstance(self.regions, Regions):
            return [(self.image, self.regions, self.region_weights)]  # type: ignore[list-item]
        nothing = [None] * len(self.regions)
        images = nothing if self.image is None else self.image
        weights = nothing if self.region_weights is None else self.region_weights
        return list(zip(images, self.regions, weights, strict=True))


def region_attention(output: Any) -> torch.Tensor:
    """How much [CLS] looks at each region in the last cross-modality layer, mean over the heads.

    Args:
        output: of a model with an answer head that was asked for its attention maps.

    Returns:
        (B, R), rows sum to 1, padded regions get 0; (2B, R) of pairs, left before right.

    Raises:
        ValueError: an output without attention maps.
    """
    if not output.cross_encoder_attentions:
        raise ValueError("The output has no attention maps: call the model with output_attentions=True.")
    return output.cross_encoder_attentions[-1][:, :, 0].mean(dim=1)


@torch.inference_mode()
def answer_questions(
    model: Any,
    processor: LxmertProcessor,
    images: Sequence[Any] | None,
    questions: Sequence[str],
    truths: Sequence[str | None] | None = None,
    top_k: int = 5,
    regions: Sequence[Any] | None = None,
    max_length: int | None = None,
) -> list[AnsweredQuestion]:
    """Ask one question of each image, or of each pair of images.

    Args:
        model: `LxmertForQuestionAnswering`, or `LxmertForVisualReasoning` for pairs; in evaluation mode.
        processor: with a region extractor, unless `regions` are given.
        images: N pictures, or N pairs [left, right]; None, or None in place of a picture, where there are only regions.
        questions: N questions.
        truths: N right answers, where they are known.
        top_k: number of answers to keep.
        regions: N times the `Regions` of the pictures, or pairs [left, right] of them, instead of extracting them.
        max_length: largest number of wordpieces, longer questions are cut; None refuses those beyond the tokenizer's.

    Raises:
        ValueError: counts that differ, or neither regions nor a region extractor.
    """
    if regions is None and processor.region_extractor is None:
        raise ValueError(
            "The processor has no region extractor: build it with LxmertProcessor(tokenizer, extractor), or give "
            "regions."
        )
    if regions is None and images is None:
        raise ValueError("Give images, or regions that were found in them: both are None.")
    count = len(images if regions is None else regions)  # type: ignore[arg-type]
    images = [None] * count if images is None else images
    if not count == len(images) == len(questions) == len(truths or questions):
        raise ValueError(f"Give one question (and truth) for each of the {count} images.")
    if regions is None:
        regions = _extract(processor, images)
    paired = not isinstance(regions[0], Regions)
    inputs = processor(
        text=list(questions),
        regions=[list(pair) for pair in regions] if paired else list(regions),
        truncation=max_length is not None,
        max_length=max_length,
    )
    output = model(**inputs.to(model.device), output_attentions=True)
    probabilities = output.logits.float().softmax(dim=-1).topk(min(top_k, output.logits.shape[-1]))
    weights = region_attention(output).float().cpu().numpy()
    each = 2 if paired else 1
    answered = []
    for i, question in enumerate(questions):
        found = regions[i] if paired else [regions[i]]
        attention: Any = [weights[each * i + side, : len(item)] for side, item in enumerate(found)]
        labels, values = probabilities.indices[i].tolist(), probabilities.values[i].tolist()
        answered.append(
            AnsweredQuestion(
                image=tuple(images[i]) if paired and images[i] is not None else images[i],
                question=question,
                answers=[(model.config.id2label[label], value) for label, value in zip(labels, values, strict=True)],
                regions=tuple(found) if paired else found[0],
                region_weights=tuple(attention) if paired else attention[0],
                truth=truths[i] if truths else None,
            )
        )
    return answered


def ask_again(
    model: Any,
    processor: LxmertProcessor,
    questions: Sequence[Question],
    regions: RegionSource,
    images: Mapping[str, ImageInput] | None = None,
    top_k: int = 5,
    max_length: int | None = None,
) -> list[AnsweredQuestion]:
    """Ask questions of a data set with attention maps, such as those that a model answered worst.

    Args:
        model: see `answer_questions`.
        processor: tokenizes; a region extractor is not needed.
        questions: any number, all about one image or all about pairs.
        regions: by image id.
        images: pictures, or their paths, by image id; those that are absent are drawn as empty.
        top_k: number of answers to keep.
        max_length: see `answer_questions`.

    Raises:
        KeyError: an image without regions.
    """
    answered: list[AnsweredQuestion] = []
    for start in range(0, len(questions), BATCH_SIZE):
        batch = [questions[row] for row in range(start, min(start + BATCH_SIZE, len(questions)))]
        found = answer_questions(
            model,
            processor,
            [_pictures(question, images) for question in batch],
            [question.text for question in batch],
            [question.answer for question in batch],
            top_k,
            [_regions(question, regions) for question in batch],
            max_length,
        )
        answered += [replace(item, caption=_caption(question)) for item, question in zip(found, batch, strict=True)]
    return answered


def given_answers(
    questions: Sequence[Question],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float] | None,
    regions: RegionSource,
    images: Mapping[str, ImageInput] | None = None,
) -> list[AnsweredQuestion]:
    """Questions with answers that are known already, without attention, for want of the model.

    Args:
        questions: any number.
        answers: by question id.
        probabilities: of these answers, by question id, where they are known.
        regions: by image id.
        images: pictures, or their paths, by image id; those that are absent are drawn as empty.

    Raises:
        KeyError: a question without an answer, or an image without regions.
    """
    return [
        AnsweredQuestion(
            image=_pictures(question, images),
            question=question.text,
            answers=[(answers[question.question_id], (probabilities or {}).get(question.question_id))],
            regions=_regions(question, regions),
            truth=question.answer,
            caption=_caption(question),
        )
        for question in questions
    ]


def _extract(processor: LxmertProcessor, images: Sequence[Any]) -> list[Any]:
    """Regions of each image, or of each pair."""
    extractor = processor.region_extractor
    assert extractor is not None
    if not isinstance(images[0], (list, tuple)):
        return extractor(images)
    found = iter(extractor([image for pair in images for image in pair]))
    return [[next(found) for _ in pair] for pair in images]


def _regions(question: Question, regions: RegionSource) -> Any:
    found = tuple(regions[image_id] for image_id in question.image_ids)
    return found if len(found) > 1 else found[0]


def _pictures(question: Question, images: Mapping[str, ImageInput] | None) -> Any:
    found = tuple(None if images is None else images.get(image_id) for image_id in question.image_ids)
    return found if len(found) > 1 else found[0]


def _caption(question: Question) -> str:
    images = " and ".join(question.image_ids)
    return f"question {question.question_id}, image {images}" if question.question_id else f"image {images}"
