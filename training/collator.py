"""From questions to the tensors of a batch."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, get_args

import torch

from lxmert.modeling_lxmert.losses import IGNORED
from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.processing.region_table import NOTHING, RegionPlaces, pad_rows
from lxmert.training.task import Batch

Targets = Literal["classes", "scores"]
Withheld = Literal["image", "question"]


class AnswerCollator:
    """Tokenizes questions, fetches the regions of their images and looks up their answers' class ids.

    Args:
        processor: tokenizes and pads.
        store: regions by image id. Their places in a `RegionTable` instead give batches with `target_rows` (B, R) in
            place of regions, which `feeding.fill` makes whole on the table's device.
        label2id: class ids by answer.
        withhold: leave a model without one of its inputs. "image" puts one region in the image's place, the whole
            image's box with features of 0; "question" leaves [CLS] [SEP] of the question.
        targets: "classes" gives the id of each question's answer (B,), for cross-entropy; "scores" the scores of all
            answers (B, A), for the original's loss of VQA and GQA.
        unknown_answers: "refuse" an answer without a class id, or "ignore" it: a vocabulary of frequent answers lacks
            rare ones on purpose. A question without any known answer has the class id -100, or scores of 0.
        max_length: largest number of wordpieces, longer questions are cut; None refuses those beyond the tokenizer's.
        share_images: give the regions of each image of a batch once, and `image_indices` (B,).

    Raises:
        ValueError: another `withhold`, `targets` or `unknown_answers`; on a call, an answer without a class id,
            questions about pairs mixed with others, or pairs where images are to be shared.
        KeyError: on a call, an image that is not in the store.
    """

    def __init__(
        self,
        processor: LxmertProcessor,
        store: RegionSource | RegionPlaces,
        label2id: Mapping[str, int],
        withhold: Withheld | None = None,
        targets: Targets = "classes",
        unknown_answers: Literal["refuse", "ignore"] = "refuse",
        max_length: int | None = None,
        share_images: bool = False,
    ):
        if withhold is not None and withhold not in get_args(Withheld):
            raise ValueError(f'withhold must be "image", "question" or None, got {withhold!r}.')
        if targets not in get_args(Targets):
            raise ValueError(f'targets must be "classes" or "scores", got {targets!r}.')
        if unknown_answers not in ("refuse", "ignore"):
            raise ValueError(f'unknown_answers must be "refuse" or "ignore", got {unknown_answers!r}.')
        self.processor = processor
        self.store = store
        self.label2id = label2id
        self.withhold = withhold
        self.targets = targets
        self.unknown_answers = unknown_answers
        self.max_length = max_length
        self.share_images = share_images

    def __call__(self, questions: Sequence[Question]) -> Batch:
        """Keywords of a model with a head, `labels` (B,) or (B, A) among them.

        Questions about pairs of images give `visual_feats` (B, 2, R, D) and so on. `word_count` and `region_count` say
        how many words and regions are no padding, which a model could only ask its device for.
        """
        cut = self.max_length is not None
        texts = [question.text for question in questions]
        batch = dict(self.processor(text=texts, truncation=cut, max_length=self.max_length))
        images = [tuple(question.image_ids) for question in questions]
        if self.share_images:
            first, batch["image_indices"] = share(images)
            images = [images[row] for row in first]
        batch |= self._regions(images)
        batch["labels"] = self._labels(questions)
        if self.withhold == "question":
            batch |= without_question(self.processor, len(questions))
        there = batch["target_rows"] != NOTHING if "target_rows" in batch else batch["visual_attention_mask"]
        return batch | {"word_count": int(batch["attention_mask"].sum()), "region_count": int(there.sum())}

    def _regions(self, images: Sequence[tuple[str, ...]]) -> Batch:
        """The regions of single images or of pairs, or their rows in a table."""
        (each, *other) = {len(ids) for ids in images}
        if other:
            raise ValueError("Questions about pairs of images are mixed with questions about single ones: part them.")
        if each > 1 and self.share_images:
            raise ValueError("Images are shared by questions about one image each, these are about pairs.")
        ids = [image_id for image in images for image_id in image]
        if isinstance(self.store, RegionPlaces):
            rows = torch.from_numpy(pad_rows(self.store.many(ids)))
            rows = rows if each == 1 else rows.unflatten(0, (-1, each))
            if self.withhold == "image":
                return without_image(torch.zeros(1).expand(*rows.shape, self.store.feature_dim))
            return {"target_rows": rows}
        found = self.store.many(ids)
        regions = found if each == 1 else [found[i : i + each] for i in range(0, len(found), each)]
        batch = dict(self.processor(regions=regions))
        return without_image(batch["visual_feats"]) if self.withhold == "image" else batch

    def _labels(self, questions: Sequence[Question]) -> torch.Tensor:
        if self.unknown_answers == "refuse":
            for question in questions:
                self._refuse_unknown(question)
        if self.targets == "classes":
            ids = [self.label2id.get(question.answer or "", IGNORED[0]) for question in questions]
            return torch.tensor(ids)
        scores = torch.zeros(len(questions), max(self.label2id.values()) + 1)
        for row, question in enumerate(questions):
            for answer, score in question.scores.items():
                if answer in self.label2id:
                    scores[row, self.label2id[answer]] = score
        return scores

    def _refuse_unknown(self, question: Question) -> None:
        for answer in question.scores:
            if answer not in self.label2id:
                raise ValueError(
                    f"The answer {answer!r} to {question.text!r} (image {question.image_id}) is not among the model's "
                    f"{len(self.label2id)} answers."
                )


def share(images: Sequence[Hashable]) -> tuple[list[int], torch.Tensor]:
    """Which of B examples is the first of its image, for I images, and (B,), the number of each example's image.

    Example:
        >>> share(["a", "b", "a"])
        ([0, 1], tensor([0, 1, 0]))
    """
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    for row, image in enumerate(images):
        if image not in numbers:
            numbers[image] = len(first)
            first.append(row)
    return first, torch.tensor([numbers[image] for image in images])


def without_image(visual_feats: torch.Tensor) -> Batch:
    """What stands in the place of images: one region, the whole image's box with features of 0.

    Args:
        visual_feats: (..., R, D), of the images.
    """
    *count, _, width = visual_feats.shape
    return {
        "visual_feats": torch.zeros(*count, 1, width),
        "visual_pos": torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(*count, 1, 4),
        "visual_attention_mask": torch.ones(*count, 1, dtype=torch.long),
    }


def without_question(processor: LxmertProcessor, count: int) -> Batch:
    """What stands in the place of questions: [CLS] [SEP]."""
    words = processor.tokenizer("", return_tensors="pt")["input_ids"].expand(count, -1)  # (count, 2)
    return {
        "input_ids": words,
        "token_type_ids": torch.zeros_like(words),
        "attention_mask": torch.ones_like(words),
    }
