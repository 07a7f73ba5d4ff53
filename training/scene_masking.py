"""The paper's five pre-training tasks (section 3.1) on a batch of scenes, in operations on whole arrays."""

from typing import Any

import numpy as np
import torch

from lxmert.training.masking import BLANKED, IGNORED, KEPT, REPLACED, UNTOUCHED, PretrainingObjectives, draw_masks
from lxmert.training.task import Batch

UNANSWERED = ("ans", "grounding_labels", "count_labels")  # of a pair whose sentence is about another scene


def five_tasks(
    batch: Batch,
    shapes: np.ndarray,
    colours: np.ndarray,
    objectives: PretrainingObjectives,
    special: tuple[int, int, int],
    mask_token_id: int,
    vocabulary_size: int,
    generator: np.random.Generator,
) -> Batch:
    """Replace sentences, mask words and regions, and add the labels of what was.

    A replaced sentence is another one of the batch; the pair then has no answer, and its words mean nothing. A pair
    whose sentence would be replaced by the same words stays as it is.

    Args:
        batch: of `SceneBatches`, B samples with T words and R regions.
        shapes: (B, R), object classes of the regions, -100 for padding.
        colours: (B, R), attribute classes, -100 for none.
        objectives: how often what is masked.
        special: ids of [PAD], [CLS] and [SEP], which stay.
        mask_token_id: of [MASK].
        vocabulary_size: random words are drawn below it.
        generator: of the randomness.

    Returns:
        The batch with `labels`, `matched_label` and `obj_labels` as `LxmertForPreTraining` takes them.
    """
    batch = dict(batch)
    ids, features = batch["input_ids"].numpy().copy(), batch["visual_feats"].numpy().copy()
    there = batch["visual_attention_mask"].numpy().astype(bool)
    size = len(ids)
    replaced = generator.random(size) < objectives.unmatched_rate
    other = np.where(replaced, (np.arange(size) + generator.integers(1, max(size, 2), size)) % size, np.arange(size))
    replaced = (ids[other] != ids).any(1)
    ids = ids[other]
    batch["attention_mask"] = batch["attention_mask"][torch.from_numpy(other)]
    for name in UNANSWERED:
        batch[name] = batch[name].clone()
        batch[name][torch.from_numpy(replaced)] = IGNORED
    words = draw_masks(ids.size, objectives.word_rate, objectives.word_blanked, objectives.word_replaced, generator)
    words = np.where(np.isin(ids, special), UNTOUCHED, words.reshape(ids.shape))
    labels = np.where(words == UNTOUCHED, IGNORED, ids)
    ids[words == BLANKED] = mask_token_id
    ids[words == REPLACED] = generator.integers(vocabulary_size, size=int((words == REPLACED).sum()))
    rates = objectives.region_rate, objectives.region_blanked, objectives.region_replaced
    regions = np.where(there, draw_masks(there.size, *rates, generator).reshape(there.shape), UNTOUCHED)
    before = features.copy()
    features[regions == BLANKED] = 0
    sources = np.argwhere(there)[generator.integers(0, int(there.sum()), int((regions == REPLACED).sum()))]
    features[regions == REPLACED] = before[sources[:, 0], sources[:, 1]]
    masked = np.isin(regions, (BLANKED, REPLACED, KEPT)).astype(np.float32)
    certain = there.astype(np.float32)  # shapes and colours are known, so every confidence is 1
    made: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids),
        "visual_feats": torch.from_numpy(features),
        "labels": torch.from_numpy(labels),
        "matched_label": torch.from_numpy((~replaced).astype(np.int64)),
        "obj_labels": {
            "obj": (torch.from_numpy(shapes), torch.from_numpy(certain)),
            "attr": (torch.from_numpy(colours), torch.from_numpy(certain)),
            "feat": (torch.from_numpy(before), torch.from_numpy(masked)),
        },
    }
    return batch | made
