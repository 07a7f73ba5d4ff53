from dataclasses import replace

import numpy as np
import pytest

from lxmert.training.masking import (
    BLANKED,
    IGNORED,
    KEPT,
    OBJECTIVES,
    ORIGINAL_CODE,
    PAPER,
    REPLACED,
    UNTOUCHED,
    PretrainingObjectives,
    draw_region_masks,
    mask_words,
)

MASK, VOCABULARY = 4, 1000


def share(kinds: np.ndarray, kind: int) -> float:
    return float((kinds == kind).mean())


def within(rate: float, count: int) -> float:
    """Four standard deviations of a share among `count` draws."""
    return 4 * (rate * (1 - rate) / count) ** 0.5


def test_a_large_sample_of_regions_has_the_rates_of_the_original_code() -> None:
    count = 400_000
    kinds = draw_region_masks(count, ORIGINAL_CODE, np.random.default_rng(0))
    for kind, rate in ((UNTOUCHED, 0.85), (BLANKED, 0.12), (REPLACED, 0.015), (KEPT, 0.015)):
        assert share(kinds, kind) == pytest.approx(rate, abs=within(rate, count))


def test_the_papers_masked_regions_are_always_zeroed() -> None:
    kinds = draw_region_masks(100_000, PAPER, np.random.default_rng(0))
    assert set(kinds) == {UNTOUCHED, BLANKED}
    assert share(kinds, BLANKED) == pytest.approx(0.15, abs=within(0.15, 100_000))


def test_a_large_sample_of_words_has_the_rates_of_bert() -> None:
    count = 400_000
    ids = np.full(count, 7)
    masked, labels = mask_words(ids, np.zeros(count, bool), MASK, VOCABULARY, ORIGINAL_CODE, np.random.default_rng(1))
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=within(0.15, count))
    assert set(labels[chosen]) == {7}
    assert np.array_equal(masked[~chosen], ids[~chosen])
    among = masked[chosen]
    assert (among == MASK).mean() == pytest.approx(0.8, abs=within(0.8, len(among)) + 1 / VOCABULARY)
    random_words = among[(among != MASK) & (among != 7)]
    assert len(random_words) / len(among) == pytest.approx(0.1, abs=within(0.1, len(among)) + 1 / VOCABULARY)
    assert random_words.min() < 20
    assert random_words.max() > VOCABULARY - 20
    assert np.bincount(random_words, minlength=VOCABULARY).max() < 30, "drawn evenly from the vocabulary"


def test_special_tokens_stay_and_are_not_predicted() -> None:
    ids = np.array([2, 7, 3, 0])
    special = np.array([True, False, True, True])
    always = replace(ORIGINAL_CODE, word_rate=1.0, word_blanked=1.0, word_replaced=0.0)
    masked, labels = mask_words(ids, special, MASK, VOCABULARY, always, np.random.default_rng(0))
    assert masked.tolist() == [2, MASK, 3, 0]
    assert labels.tolist() == [IGNORED, 7, IGNORED, IGNORED]
    assert ids.tolist() == [2, 7, 3, 0], "the input is not changed"


def test_the_same_generator_gives_the_same_masks() -> None:
    runs = [draw_region_masks(1000, ORIGINAL_CODE, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_presets() -> None:
    assert OBJECTIVES == {"original code": ORIGINAL_CODE, "paper": PAPER}
    assert ORIGINAL_CODE.config_fields() == {"visual_label_regions": "all", "visual_feat_distance": "smooth_l1"}
    assert PAPER.config_fields() == {"visual_label_regions": "masked", "visual_feat_distance": "l2"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"word_rate": 1.5}, ValueError, r"word_rate must lie in \[0, 1\], got 1.5"),
        ({"region_rate": "0.15"}, TypeError, "region_rate must be a number, got '0.15'"),
        ({"region_blanked": 0.95}, ValueError, "region_blanked and region_replaced must not sum up to more than 1"),
    ],
)
def test_bad_rates_are_refused(change: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        PretrainingObjectives(**change)
