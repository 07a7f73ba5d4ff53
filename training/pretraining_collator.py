"""From pairs to the masked tensors of a pre-training batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lxmert.processing import LxmertProcessor, Regions, RegionSource
from lxmert.training.masking import (
    BLANKED,
    IGNORED,
    REPLACED,
    UNTOUCHED,
    PretrainingObjectives,
    draw_region_masks,
    mask_words,
)
from lxmert.training.pretraining_examples import PretrainingExample
from lxmert.training.task import Batch

WORDS, REGIONS = 1, 2  # purposes of an example's randomness; 0 drew the pair


class PretrainingCollator:
    """Masks words and regions, and keeps what they were as targets.

    The masks of an example follow from the example alone, so the same seed gives the same batch whatever the number
    of workers.

    Args:
        processor: tokenizes and pads; sentences longer than `max_length` are cut.
        regions: regions by image id; without detected labels these tasks have no targets.
        objectives: how often what is masked.
        max_length: largest number of wordpieces, [CLS] and [SEP] counted; 20 in the paper.
    """

    def __init__(
        self,
        processor: LxmertProcessor,
        regions: RegionSource,
        objectives: PretrainingObjectives,
        max_length: int = 20,
    ):
        self.processor = processor
        self.regions = regions
        self.objectives = objectives
        self.max_length = max_length

    def __call__(self, examples: Sequence[PretrainingExample]) -> Batch:
        """Keywords of `LxmertForPreTraining` for B pairs, all labels among them."""
        regions = self.regions.many([example.image_id for example in examples])
        arrays: dict[str, np.ndarray] = dict(
            self.processor(
                text=[example.sentence for example in examples],
                regions=regions,
                truncation=True,
                max_length=self.max_length,
                return_tensors="np",
            )
        )
        words = arrays["attention_mask"].sum(axis=1)  # (B,)
        arrays["input_ids"], arrays["labels"] = self._mask_words(examples, arrays["input_ids"], words)
        targets = arrays["visual_feats"]  # (B, R, D)
        arrays["visual_feats"], masked = self._mask_regions(examples, regions, targets)
        batch: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        batch["obj_labels"] = {
            "obj": _padded_labels(regions, targets.shape[1], "object"),
            "attr": _padded_labels(regions, targets.shape[1], "attribute"),
            "feat": (torch.from_numpy(targets), torch.from_numpy(masked)),
        }
        batch["matched_label"] = torch.tensor([int(example.matched) for example in examples])
        batch["ans"] = torch.tensor([example.answer for example in examples])
        batch["return_logits"] = False
        return batch

    def _mask_words(
        self, examples: Sequence[PretrainingExample], ids: np.ndarray, words: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) after masking, and those to predict (B, T); what is drawn does not depend on the padding."""
        tokenizer = self.processor.tokenizer
        masked, labels = ids.copy(), np.full_like(ids, IGNORED)
        for i, (example, count) in enumerate(zip(examples, words, strict=True)):
            sentence = ids[i, :count]
            special = np.isin(sentence, [tokenizer.cls_token_id, tokenizer.sep_token_id])
            masked[i, :count], labels[i, :count] = mask_words(
                sentence,
                special,
                tokenizer.mask_token_id,
                len(tokenizer),
                self.objectives,
                example.generator(WORDS),
            )
        return masked, labels

    def _mask_regions(
        self, examples: Sequence[PretrainingExample], regions: Sequence[Regions], features: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features (B, R, D) after masking, and (B, R), 1 for masked regions."""
        shown, masked = features.copy(), np.zeros(features.shape[:2], dtype=np.float32)
        replacements: list[tuple[int, np.ndarray, np.ndarray]] = []  # example, its regions, where in the other image
        for i, (example, found) in enumerate(zip(examples, regions, strict=True)):
            generator = example.generator(REGIONS)
            kinds = draw_region_masks(len(found), self.objectives, generator)
            masked[i, : len(found)] = kinds != UNTOUCHED
            shown[i, : len(found)][kinds == BLANKED] = 0
            replaced = np.flatnonzero(kinds == REPLACED)
            if len(replaced):
                replacements.append((i, replaced, generator.random(len(replaced))))
        if replacements:
            others = self.regions.many([examples[i].other_image_id for i, _, _ in replacements])
            for (i, replaced, place), other in zip(replacements, others, strict=True):
                shown[i, replaced] = other.features[(place * len(other)).astype(int)]
        return shown, masked


def _padded_labels(regions: Sequence[Regions], longest: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Detected classes (B, R), -1 where there is none, and their confidences (B, R), 1 where no score is known."""
    classes = np.full((len(regions), longest), -1, dtype=np.int64)
    confidences = np.zeros((len(regions), longest), dtype=np.float32)
    for i, item in enumerate(regions):
        ids, scores = getattr(item, f"{kind}_ids"), getattr(item, f"{kind}_scores")
        if ids is not None:
            classes[i, : len(item)] = ids
            confidences[i, : len(item)] = 1 if scores is None else scores
    return torch.from_numpy(classes), torch.from_numpy(confidences)
