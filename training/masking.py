"""What is masked in pre-training, and how often (section 3.1.1 and 3.1.2). All randomness comes from a generator."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

IGNORED = -100  # label of a word that is not to be predicted

LabelRegions = Literal["all", "masked"]
FeatureDistance = Literal["smooth_l1", "l2"]

# What became of a region, or of a word.
UNTOUCHED, BLANKED, REPLACED, KEPT = range(4)


@dataclass(frozen=True)
class PretrainingObjectives:
    """The choices in which readings of the paper differ; the defaults are those of the original code.

    `ORIGINAL_CODE` and `PAPER` below are two sets of them.

    Args:
        word_rate: share of the words that are to be predicted.
        word_blanked: share of these that become [MASK]; another `word_replaced` become a random wordpiece, the rest
            stay.
        word_replaced: see `word_blanked`.
        region_rate: share of the regions that are to be predicted.
        region_blanked: share of these whose features become 0; another `region_replaced` get the features of a region
            of another image, the rest stay.
        region_replaced: see `region_blanked`.
        unmatched_rate: share of the pairs whose sentence is replaced by one of another image.
        label_regions: regions whose detected labels are predicted, see `LxmertConfig.visual_label_regions`.
        feature_distance: of feature regression, see `LxmertConfig.visual_feat_distance`.

    Raises:
        TypeError: a rate that is no number.
        ValueError: a rate outside [0, 1], shares that sum up to more than 1, or another choice.
    """

    word_rate: float = 0.15
    word_blanked: float = 0.8
    word_replaced: float = 0.1
    region_rate: float = 0.15
    region_blanked: float = 0.8
    region_replaced: float = 0.1
    unmatched_rate: float = 0.5
    label_regions: LabelRegions = "all"
    feature_distance: FeatureDistance = "smooth_l1"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("label_regions", "feature_distance"):
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number, got {value!r}.")
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}.")
        for name, choices in (("label_regions", LabelRegions), ("feature_distance", FeatureDistance)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}.")
        for kind in ("word", "region"):
            total = getattr(self, f"{kind}_blanked") + getattr(self, f"{kind}_replaced")
            if total > 1 + 1e-9:
                raise ValueError(f"{kind}_blanked and {kind}_replaced must not sum up to more than 1, got {total}.")

    def config_fields(self) -> dict[str, Any]:
        """What the model's configuration must say for these objectives."""
        return {"visual_label_regions": self.label_regions, "visual_feat_distance": self.feature_distance}


ORIGINAL_CODE = PretrainingObjectives()
# As the paper's text says: masked objects are always zeroed, regression is L2, labels are those of masked objects.
PAPER = PretrainingObjectives(region_blanked=1.0, region_replaced=0.0, label_regions="masked", feature_distance="l2")
OBJECTIVES = {"original code": ORIGINAL_CODE, "paper": PAPER}


def draw_masks(count: int, rate: float, blanked: float, replaced: float, generator: np.random.Generator) -> np.ndarray:
    """What becomes of each of `count` words or regions: (count,) of UNTOUCHED, BLANKED, REPLACED or KEPT.

    Args:
        count: of words or regions.
        rate: share that is to be predicted, that is, anything but UNTOUCHED.
        blanked: share of these that is BLANKED.
        replaced: share of these that is REPLACED.
        generator: of the randomness.
    """
    chance = generator.random(count)
    kinds = np.full(count, UNTOUCHED, dtype=np.int8)
    kinds[chance < rate] = KEPT
    kinds[chance < rate * (blanked + replaced)] = REPLACED
    kinds[chance < rate * blanked] = BLANKED
    return kinds


def mask_words(
    input_ids: np.ndarray,
    special: np.ndarray,
    mask_token_id: int,
    vocabulary_size: int,
    objectives: PretrainingObjectives,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Mask the wordpieces of one sentence (the original's `random_word`).

    Args:
        input_ids: (T,), wordpiece ids, without padding.
        special: (T,), true for [CLS] and [SEP], which stay as they are.
        mask_token_id: of [MASK].
        vocabulary_size: random wordpieces are drawn below it.
        objectives: the rates.
        generator: of the randomness.

    Returns:
        (T,), the ids after masking, and (T,), the ids to predict, -100 elsewhere.
    """
    kinds = draw_masks(
        len(input_ids), objectives.word_rate, objectives.word_blanked, objectives.word_replaced, generator
    )
    kinds[special] = UNTOUCHED
    masked = np.where(kinds == BLANKED, mask_token_id, input_ids)
    replaced = kinds == REPLACED
    masked[replaced] = generator.integers(vocabulary_size, size=int(replaced.sum()))
    return masked, np.where(kinds == UNTOUCHED, IGNORED, input_ids)


def draw_region_masks(count: int, objectives: PretrainingObjectives, generator: np.random.Generator) -> np.ndarray:
    """What becomes of the features of `count` regions (the original's `random_feat`); see `draw_masks`."""
    return draw_masks(count, objectives.region_rate, objectives.region_blanked, objectives.region_replaced, generator)
