"""From questions to the tensors of a batch."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch

from lxmert.modeling_lxmert.losses import IGNORED
from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.training.task import Batch

Targets = Literal["classes", "scores"]
Withheld = Literal["image", "question"]


class AnswerCollator:
    """Tokenizes questions, fetches the regions of their images and looks up their answers' class ids.

    Args:
        processor: tokenizes and pads.
        store: regions by image id.
        label2id: class ids by answer.
        withhold: leave a model without one of its inputs. "image" puts one region in the image's place, the whole
            image's box with features of 0; "question" leaves [CLS] [SEP] of the question.
        targets: "classes" gives the id of each question's answer (B,), for cross-entropy; "scores" the scores of all
            answers (B, A), for the original's loss of VQA and GQA.
        unknown_answers: "refuse" an answer without a class id, or "ignore" it: a vocabulary of frequent answers lacks
            rare ones on purpose. A question without any known answer has the class id -100, or scores of 0.
        max_length: largest number of wordpieces, longer questions are cut; None refuses those beyond the tokenizer's.

    Raises:
        ValueError: another `withhold`, `targets` or `unknown_answers`; on a call, an answer without a class id.
        KeyError: on a call, an image that is not in the store.
    """

    def __init__(
        self,
        processor: LxmertProcessor,
        store: RegionSource,
        label2id: Mapping[str, int],
        withhold: Withheld | None = None,
        targets: Targets = "classes",
        unknown_answers: Literal["refuse", "ignore"] = "refuse",
        max_length: int | None = None,
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

    def __call__(self, questions: Sequence[Question]) -> Batch:
        """Keywords of a model with a head, `labels` (B,) or (B, A) among them.

        Questions about pairs of images give `visual_feats` (B, 2, R, D) and so on.
        """
        images = [image_id for question in questions for image_id in question.image_ids]
        found = iter(self.store.many(images))
        regions = [[next(found) for _ in question.image_ids] for question in questions]
        paired = any(len(each) > 1 for each in regions)
        batch = dict(
            self.processor(
                text=[question.text for question in questions],
                regions=regions if paired else [each[0] for each in regions],
                truncation=self.max_length is not None,
                max_length=self.max_length,
            )
        )
        batch["labels"] = self._labels(questions)
        if self.withhold == "image":
            batch |= without_image(batch["visual_feats"])
        elif self.withhold == "question":
            batch |= without_question(self.processor, len(questions))
        return batch

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
