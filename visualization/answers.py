"""Answers together with what is needed to show where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lxmert.modeling_lxmert import LxmertForQuestionAnswering, LxmertForQuestionAnsweringOutput
from lxmert.processing import LxmertProcessor, Regions
from lxmert.processing.region_extractor import ImageInput


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question about an image, the likeliest answers, and the regions that the model looked at.

    Args:
        image: what was given to the region extractor.
        question: the text.
        answers: (answer, probability), the likeliest first.
        regions: of the image.
        region_weights: (R,), attention on each region, summing to 1; see `region_attention`.
        truth: the right answer, where it is known.
    """

    image: Image.Image | np.ndarray | str
    question: str
    answers: list[tuple[str, float]]
    regions: Regions
    region_weights: np.ndarray
    truth: str | None = None


def region_attention(output: LxmertForQuestionAnsweringOutput) -> torch.Tensor:
    """How much [CLS] looks at each region in the last cross-modality layer, mean over the heads.

    Args:
        output: of a model that was asked for its attention maps.

    Returns:
        (B, R), rows sum to 1, padded regions get 0.

    Raises:
        ValueError: an output without attention maps.
    """
    if not output.cross_encoder_attentions:
        raise ValueError("The output has no attention maps: call the model with output_attentions=True.")
    return output.cross_encoder_attentions[-1][:, :, 0].mean(dim=1)


@torch.inference_mode()
def answer_questions(
    model: LxmertForQuestionAnswering,
    processor: LxmertProcessor,
    images: Sequence[ImageInput],
    questions: Sequence[str],
    truths: Sequence[str] | None = None,
    top_k: int = 5,
) -> list[AnsweredQuestion]:
    """Ask one question of each image.

    Args:
        model: in evaluation mode.
        processor: with a region extractor.
        images: N pictures.
        questions: N questions.
        truths: N right answers, where they are known.
        top_k: number of answers to keep.

    Raises:
        ValueError: counts that differ, or a processor without a region extractor.
    """
    if processor.region_extractor is None:
        raise ValueError("The processor has no region extractor: build it with LxmertProcessor(tokenizer, extractor).")
    if not len(images) == len(questions) == len(truths or questions):
        raise ValueError(f"Give one question (and truth) for each of the {len(images)} images.")
    regions = processor.region_extractor(images)
    inputs = processor(text=list(questions), regions=regions).to(model.device)
    output = model(**inputs, output_attentions=True)
    probabilities = output.logits.float().softmax(dim=-1).topk(min(top_k, output.logits.shape[-1]))
    weights = region_attention(output).float().cpu().numpy()
    return [
        AnsweredQuestion(
            image=images[i],
            question=questions[i],
            answers=[
                (model.config.id2label[label], value)
                for label, value in zip(
                    probabilities.indices[i].tolist(), probabilities.values[i].tolist(), strict=True
                )
            ],
            regions=regions[i],
            region_weights=weights[i, : len(regions[i])],
            truth=truths[i] if truths else None,
        )
        for i in range(len(images))
    ]
