"""The paper's five tasks on batches of scenes, against the unmasked batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lxmert.scenes import COLOURS, SHAPES, concatenate, given_samples, random_scattered, random_towers
from lxmert.training.masking import ORIGINAL_CODE, PretrainingObjectives
from lxmert.training.scene_batches import SceneBatches
from lxmert.training.task import Batch
from tests.training.test_masking import within
from tests.training.test_scene_batches import drawn_samples, one_sample, scene_tokenizer

SPECIAL = (0, 2, 3)  # [PAD], [CLS], [SEP]
MASK = 4
NEVER = PretrainingObjectives(word_rate=0.0, region_rate=0.0, unmatched_rate=0.0)
DRAWS = 60


def draw(objectives: PretrainingObjectives | None, seed: int = 0) -> Batch:
    batches = SceneBatches(drawn_samples(), scene_tokenizer(), objectives=objectives)
    return batches.batch(np.arange(len(drawn_samples())), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def whole() -> Batch:
    """Nothing is masked."""
    return draw(None)


def many(objectives: PretrainingObjectives) -> list[Batch]:
    batches = SceneBatches(drawn_samples(), scene_tokenizer(), objectives=objectives)
    rows = np.arange(len(drawn_samples()))
    return [batches.batch(rows, np.random.default_rng(seed)) for seed in range(DRAWS)]


def test_the_special_tokens() -> None:
    names = scene_tokenizer().convert_ids_to_tokens([*SPECIAL, MASK])
    assert names == ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]


def test_without_masks_only_the_labels_are_added(whole: Batch) -> None:
    batch = draw(NEVER)
    assert batch.keys() - whole.keys() == {"labels", "matched_label", "obj_labels"}
    for name in whole:
        assert torch.equal(batch[name], whole[name]), name
    assert (batch["labels"] == -100).all()
    assert (batch["matched_label"] == 1).all()
    assert not batch["obj_labels"]["feat"][1].any()


def test_labels_of_regions_are_what_is_in_the_scene(whole: Batch) -> None:
    batch, there = draw(ORIGINAL_CODE), whole["visual_attention_mask"]
    features = whole["visual_feats"]
    shapes, certain = batch["obj_labels"]["obj"]
    assert torch.equal(shapes, torch.where(there > 0, features[..., :4].argmax(-1), -100))
    colours, also_certain = batch["obj_labels"]["attr"]
    with_colour = features[..., 4:7].any(-1)
    assert torch.equal(colours, torch.where(with_colour, features[..., 4:7].argmax(-1), -100))
    assert torch.equal(with_colour, (shapes >= 0) & (shapes < len(SHAPES))), "boxes have no colour"
    assert torch.equal(certain, there.float())
    assert torch.equal(also_certain, there.float())
    assert torch.equal(batch["obj_labels"]["feat"][0], features), "as they were before masking"
    assert set(colours.unique().tolist()) == {-100, *range(len(COLOURS))}


def test_words_are_masked_as_often_as_asked(whole: Batch) -> None:
    batches = many(replace(ORIGINAL_CODE, unmatched_rate=0.0))
    ids = torch.stack([batch["input_ids"] for batch in batches])  # (draws, B, T)
    labels = torch.stack([batch["labels"] for batch in batches])
    before = whole["input_ids"].expand_as(ids)
    ordinary = ~torch.isin(before, torch.tensor(SPECIAL))
    chosen = labels != -100
    assert not (chosen & ~ordinary).any(), "special tokens and padding are not predicted"
    assert torch.equal(ids[~chosen], before[~chosen])
    assert torch.equal(labels[chosen], before[chosen])
    count, number = int(ordinary.sum()), int(chosen.sum())
    assert number / count == pytest.approx(0.15, abs=within(0.15, count))
    vocabulary = len(scene_tokenizer())
    assert (ids[chosen] == MASK).float().mean() == pytest.approx(0.8, abs=within(0.8, number) + 0.1 / vocabulary)
    others = ids[chosen][(ids[chosen] != MASK) & (ids[chosen] != labels[chosen])]
    assert len(others) / number == pytest.approx(0.1, abs=within(0.1, number) + 0.2 / vocabulary)
    assert set(others.tolist()) == set(range(vocabulary)) - {MASK}, "every wordpiece may come"


def test_regions_are_masked_as_often_as_asked(whole: Batch) -> None:
    batches = many(replace(ORIGINAL_CODE, unmatched_rate=0.0, region_rate=0.3, region_replaced=0.15))
    there = whole["visual_attention_mask"] > 0
    features = torch.stack([batch["visual_feats"] for batch in batches])
    masked = torch.stack([batch["obj_labels"]["feat"][1] for batch in batches]) > 0
    before = whole["visual_feats"].expand_as(features)
    assert not masked[:, ~there].any(), "padding is not predicted"
    assert torch.equal(features[~masked], before[~masked])
    count, number = DRAWS * int(there.sum()), int(masked.sum())
    assert number / count == pytest.approx(0.3, abs=within(0.3, count))
    became = features[masked]
    blank, same = ~became.any(-1), (became == before[masked]).all(-1)
    assert blank.float().mean() == pytest.approx(0.8, abs=within(0.8, number))
    kinds = {tuple(row) for row in whole["visual_feats"][there].tolist()}
    assert {tuple(row) for row in became[~blank].tolist()} <= kinds, "those of another region"
    # 0.05 are kept; a replaced one has the same features by chance, which boxes often have
    shares = torch.unique(whole["visual_feats"][there], dim=0, return_counts=True)[1] / there.sum()
    alike = (shares**2).sum().item()
    assert same.float().mean() == pytest.approx(0.05 + 0.15 * alike, abs=within(0.1, number))


def test_replaced_sentences_lose_answer_and_meaning(whole: Batch) -> None:
    only = replace(NEVER, unmatched_rate=0.5)
    replaced = kept = 0
    sentences = {tuple(row) for row in whole["input_ids"].tolist()}
    for seed in range(10):
        batch = draw(only, seed)
        for row, matched in enumerate(batch["matched_label"].tolist()):
            same = torch.equal(batch["input_ids"][row], whole["input_ids"][row])
            assert same == bool(matched)
            assert tuple(batch["input_ids"][row].tolist()) in sentences
            assert torch.equal(batch["attention_mask"][row], (batch["input_ids"][row] != 0).long())
            for name in ("ans", "grounding_labels", "count_labels"):
                expected = whole[name][row] if matched else torch.full_like(whole[name][row], -100)
                assert torch.equal(batch[name][row], expected), name
            replaced, kept = replaced + (not matched), kept + matched
        assert torch.equal(batch["visual_feats"], whole["visual_feats"])
    # sentences of four samples or less: of 159 others, 3 have the same
    assert replaced / (replaced + kept) == pytest.approx(0.49, abs=within(0.5, replaced + kept) + 0.01)


def test_the_same_words_are_no_replacement() -> None:
    """Otherwise a pair that belongs together would be labelled as one that does not."""
    scenes = concatenate([random_towers(20, np.random.default_rng(0)), random_scattered(20, np.random.default_rng(0))])
    samples = given_samples(["there is a circle"] * 40, scenes, [True] * 40)
    batches = SceneBatches(samples, scene_tokenizer(), objectives=replace(NEVER, unmatched_rate=1.0))
    batch = batches.batch(np.arange(40), np.random.default_rng(0))
    assert batch["matched_label"].tolist() == [1] * 40
    assert batch["ans"].tolist() == [1] * 40


def test_a_single_sample_keeps_its_sentence() -> None:
    batches = SceneBatches(one_sample(), scene_tokenizer(), objectives=replace(NEVER, unmatched_rate=1.0))
    batch = batches.batch([0], np.random.default_rng(0))
    assert batch["matched_label"].tolist() == batch["ans"].tolist() == [1]


def test_words_of_a_replaced_sentence_are_predicted_too(whole: Batch) -> None:
    batch = draw(replace(ORIGINAL_CODE, word_rate=1.0, word_blanked=1.0, word_replaced=0.0, unmatched_rate=1.0))
    restored = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    sentences = {tuple(row) for row in whole["input_ids"].tolist()}
    assert {tuple(row) for row in restored.tolist()} <= sentences
    assert torch.equal(batch["input_ids"] == MASK, batch["labels"] != -100)
    unmatched = batch["matched_label"] == 0
    assert unmatched.sum() > 100
    assert (restored[unmatched] != whole["input_ids"][unmatched]).any(1).all()


def test_the_same_generator_gives_the_same_masks() -> None:
    first, again, other = (draw(ORIGINAL_CODE, seed) for seed in (3, 3, 4))
    for name in ("input_ids", "visual_feats", "labels", "matched_label"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
