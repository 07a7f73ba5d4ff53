"""From pairs to the masked tensors of a pre-training batch."""

from collections.abc import Sequence

import numpy as np
import torch

from lxmert.processing import LxmertProcessor, Regions, RegionSource
from lxmert.processing.region_table import KINDS, NOTHING, RegionPlaces, labels_of, pad_rows
from lxmert.training.collator import share
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

    The masks of an example follow from the example alone, those of a shared image from the first of its examples in the
    batch; so the same seed gives the same batch whatever the number of workers.

    Args:
        processor: tokenizes and pads; sentences longer than `max_length` are cut.
        regions: regions by image id; without detected labels these tasks have no targets. Their places in a
            `RegionTable` instead give batches with numbers of rows, which `feeding.fill` makes whole on the table's
            device: `target_rows`, `shown_rows` and `masked_regions`, (B, R).
        objectives: how often what is masked.
        max_length: largest number of wordpieces, [CLS] and [SEP] counted; 20 in the paper.
        share_images: give the regions of each image of a batch once, and `image_indices` (B,). They are masked as
            for the first of the image's examples; the words of every example, and whether it matches, are its own.
    """

    def __init__(
        self,
        processor: LxmertProcessor,
        regions: RegionSource | RegionPlaces,
        objectives: PretrainingObjectives,
        max_length: int = 20,
        share_images: bool = False,
    ):
        self.processor = processor
        self.regions = regions
        self.objectives = objectives
        self.max_length = max_length
        self.share_images = share_images

    def __call__(self, examples: Sequence[PretrainingExample]) -> Batch:
        """Keywords of `LxmertForPreTraining` for B pairs, all labels among them.

        The counts say how much there is to compute, which a model could only ask its device for.
        """
        batch = self._words(examples)
        described: Sequence[PretrainingExample] = examples
        if self.share_images:
            first, batch["image_indices"] = share([example.image_id for example in examples])
            described = [examples[row] for row in first]
        batch |= self._regions(described)
        batch["matched_label"] = torch.tensor([int(example.matched) for example in examples])
        batch["ans"] = torch.tensor([example.answer for example in examples])
        batch["return_logits"] = False
        if "target_rows" in batch:
            return batch | counts_of(batch, batch["target_rows"] != NOTHING, batch["masked_regions"])
        return batch | counts_of(batch, batch["visual_attention_mask"], batch["obj_labels"]["feat"][1])

    def _words(self, examples: Sequence[PretrainingExample]) -> Batch:
        """Wordpieces after masking, and those to predict."""
        arrays: dict[str, np.ndarray] = dict(
            self.processor(
                text=[example.sentence for example in examples],
                truncation=True,
                max_length=self.max_length,
                return_tensors="np",
            )
        )
        words = arrays["attention_mask"].sum(axis=1)  # (B,)
        arrays["input_ids"], arrays["labels"] = self._mask_words(examples, arrays["input_ids"], words)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _regions(self, examples: Sequence[PretrainingExample]) -> Batch:
        """Regions after masking, and what they were; or their rows in a table."""
        image_ids = [example.image_id for example in examples]
        if isinstance(self.regions, RegionPlaces):
            rows = self.regions.many(image_ids)
            targets = pad_rows(rows)  # (B, R)
            shown, masked = self._mask_regions(examples, list(map(len, rows)), targets)
            arrays = {"target_rows": targets, "shown_rows": shown, "masked_regions": masked}
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
        regions = self.regions.many(image_ids)
        arrays = dict(self.processor(regions=regions, return_tensors="np"))
        targets = arrays["visual_feats"]  # (B, R, D)
        arrays["visual_feats"], masked = self._mask_regions(examples, list(map(len, regions)), targets)
        batch: Batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        labels = zip(("obj", "attr"), KINDS, strict=True)
        batch["obj_labels"] = {name: _padded_labels(regions, targets.shape[1], kind) for name, kind in labels}
        batch["obj_labels"]["feat"] = torch.from_numpy(targets), torch.from_numpy(masked)
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
        self, examples: Sequence[PretrainingExample], counts: Sequence[int], targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is shown after masking, and (B, R), 1 for masked regions.

        Args:
            examples: B, whose masks are drawn.
            counts: (B,), of regions.
            targets: features (B, R, D), or rows of a table (B, R); 0 stands for no features in both.
        """
        shown, masked = targets.copy(), np.zeros(targets.shape[:2], dtype=np.float32)
        replacements: list[tuple[int, np.ndarray, np.ndarray]] = []  # example, its regions, where in the other image
        for i, (example, count) in enumerate(zip(examples, counts, strict=True)):
            generator = example.generator(REGIONS)
            kinds = draw_region_masks(count, self.objectives, generator)
            masked[i, :count] = kinds != UNTOUCHED
            shown[i, :count][kinds == BLANKED] = NOTHING
            replaced = np.flatnonzero(kinds == REPLACED)
            if len(replaced):
                replacements.append((i, replaced, generator.random(len(replaced))))
        if replacements:
            others = self._features_or_rows([examples[i].other_image_id for i, _, _ in replacements])
            for (i, replaced, place), other in zip(replacements, others, strict=True):
                shown[i, replaced] = other[(place * len(other)).astype(int)]
        return shown, masked

    def _features_or_rows(self, image_ids: Sequence[str]) -> list[np.ndarray]:
        """Of each image its features (R, D), or its rows in a table (R,)."""
        if isinstance(self.regions, RegionPlaces):
            return self.regions.many(image_ids)
        return [item.features for item in self.regions.many(image_ids)]


def counts_of(batch: Batch, regions: torch.Tensor, masked: torch.Tensor) -> dict[str, int]:
    """How much there is to compute in a batch, by the keywords of `LxmertForPreTraining`.

    Args:
        batch: with `attention_mask` and `labels`; where images are shared, with `image_indices`.
        regions: (B, R), or (I, R) of shared images, 0 for padding.
        masked: likewise, 1 for masked regions.
    """
    if "image_indices" in batch:
        masked = masked[batch["image_indices"]]
    return {
        "word_count": int(batch["attention_mask"].sum()),
        "region_count": int(regions.sum()),
        "labelled_word_count": int((batch["labels"] >= 0).sum()),
        "masked_region_count": int(masked.sum()),
    }


def _padded_labels(regions: Sequence[Regions], longest: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Detected classes (B, R), -1 where there is none, and their confidences (B, R); see `labels_of`."""
    classes = np.full((len(regions), longest), -1, dtype=np.int64)
    confidences = np.zeros((len(regions), longest), dtype=np.float32)
    for i, item in enumerate(regions):
        classes[i, : len(item)], confidences[i, : len(item)] = labels_of(item, kind)
    return torch.from_numpy(classes), torch.from_numpy(confidences)
