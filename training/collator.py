"""From question examples to the tensors of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from lxmert.processing import LxmertProcessor, RegionSource
from lxmert.training.task import Batch


@dataclass(frozen=True)
class QuestionExample:
    """A question about an image, and its answer."""

    image_id: str
    question: str
    answer: str


class AnswerCollator:
    """Tokenizes questions, fetches the regions of their images and looks up their answers' class ids.

    Args:
        processor: tokenizes and pads.
        store: regions by image id.
        label2id: class ids by answer.
        withhold: measure a model without one of its inputs. "image" puts one region in the image's place, the whole
            image's box with features of 0; "question" leaves [CLS] [SEP] of the question.

    Raises:
        ValueError: another `withhold`; on a call, an answer without a class id.
        KeyError: on a call, an image that is not in the store.
    """

    def __init__(
        self,
        processor: LxmertProcessor,
        store: RegionSource,
        label2id: dict[str, int],
        withhold: Literal["image", "question"] | None = None,
    ):
        if withhold not in (None, "image", "question"):
            raise ValueError(f'withhold must be "image", "question" or None, got {withhold!r}.')
        self.processor = processor
        self.store = store
        self.label2id = label2id
        self.withhold = withhold

    def __call__(self, examples: Sequence[QuestionExample]) -> Batch:
        """Keywords of `LxmertForQuestionAnswering`, `labels` (B,) among them."""
        for example in examples:
            if example.answer not in self.label2id:
                raise ValueError(
                    f"The answer {example.answer!r} to {example.question!r} (image {example.image_id}) is not among "
                    f"the model's {len(self.label2id)} answers."
                )
        batch = dict(
            self.processor(
                text=[example.question for example in examples],
                regions=self.store.many([example.image_id for example in examples]),
            )
        )
        batch["labels"] = torch.tensor([self.label2id[example.answer] for example in examples])
        if self.withhold == "image":
            count, _, width = batch["visual_feats"].shape
            batch["visual_feats"] = torch.zeros(count, 1, width)
            batch["visual_pos"] = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 1, 4)
            batch["visual_attention_mask"] = torch.ones(count, 1, dtype=torch.long)
        elif self.withhold == "question":
            empty = self.processor.tokenizer("", return_tensors="pt")["input_ids"]  # (1, 2), [CLS] [SEP]
            batch["input_ids"] = empty.expand(len(examples), -1)
            batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        return batch
