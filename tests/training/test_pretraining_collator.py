from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lxmert import LxmertProcessor, Regions
from lxmert.processing import RegionStore, read_records, train_wordpiece_tokenizer
from lxmert.training import ORIGINAL_CODE, PretrainingCollator, PretrainingExamples

WORDS = ["red", "green", "blue", "is", "it", "round", "small"]


def make_regions(number: int) -> Regions:
    """Three to five regions of one image; their features tell the image and the region."""
    count = 3 + number % 3
    return Regions(
        features=np.array([[number, region] for region in range(count)]) + 1,
        boxes=np.array([[region, 0, region + 2, 4] for region in range(count)]),
        image_size=(10, 10),
        object_ids=np.arange(count) % 3 if number else None,
        object_scores=np.full(count, 0.5) if number else None,
        attribute_ids=np.arange(count) % 2,
        image_id=f"image {number}",
    )


@pytest.fixture
def examples() -> PretrainingExamples:
    rng = np.random.default_rng(0)
    columns = {
        "image_id": [f"image {i % 8}" for i in range(64)],
        "sentence": [" ".join(rng.choice(WORDS, size=2 + i % 4)) for i in range(64)],
        "answer": ["yes"] * 64,
    }
    records, _ = read_records(datasets.Dataset.from_dict(columns), progress=False)
    return PretrainingExamples(records, {"yes": 0}, seed=5)


@pytest.fixture
def collator(tmp_path: Path) -> PretrainingCollator:
    store = RegionStore.create(tmp_path / "regions", [make_regions(number) for number in range(8)])
    return PretrainingCollator(LxmertProcessor(train_wordpiece_tokenizer(WORDS)), store, ORIGINAL_CODE)


def flat(batch: dict) -> list[torch.Tensor]:
    visual = [tensor for pair in batch["obj_labels"].values() for tensor in pair]
    return [value for value in batch.values() if isinstance(value, torch.Tensor)] + visual


def test_a_batch_holds_what_was_masked_and_what_was_there(
    examples: PretrainingExamples, collator: PretrainingCollator
) -> None:
    chosen = [examples.draw(epoch, index) for epoch in range(20) for index in range(64)]
    batch = collator(chosen)
    tokenizer, (targets, masked) = collator.processor.tokenizer, batch["obj_labels"]["feat"]
    plain = collator.processor(
        text=[e.sentence for e in chosen], regions=collator.regions.many([e.image_id for e in chosen])
    )
    assert torch.equal(targets, plain["visual_feats"])
    assert torch.equal(batch["visual_pos"], plain["visual_pos"]), "boxes are never masked"
    assert torch.equal(batch["matched_label"], torch.tensor([int(e.matched) for e in chosen]))
    assert torch.equal(batch["ans"], torch.tensor([0 if e.matched else -1 for e in chosen]))

    labelled = batch["labels"] >= 0
    assert torch.equal(batch["labels"][labelled], plain["input_ids"][labelled])
    assert torch.equal(batch["input_ids"][~labelled], plain["input_ids"][~labelled])
    specials = torch.tensor(tokenizer.all_special_ids)
    assert not torch.isin(plain["input_ids"][labelled], specials).any()
    assert (batch["input_ids"][labelled] == tokenizer.mask_token_id).float().mean() == pytest.approx(0.8, abs=0.06)

    real = plain["visual_attention_mask"] == 1
    assert not masked[~real].any(), "padding is not masked"
    shown = batch["visual_feats"]
    assert torch.equal(shown[masked == 0], targets[masked == 0])
    zeroed = (shown == 0).all(-1) & (masked == 1)
    other = (shown[..., 0] != targets[..., 0]) & (masked == 1) & ~zeroed
    rate = masked[real].mean()
    assert rate == pytest.approx(0.15, abs=0.02)
    assert zeroed.sum() / masked.sum() == pytest.approx(0.8, abs=0.06)
    assert other.sum() / masked.sum() == pytest.approx(0.1, abs=0.05)
    for row, example in enumerate(chosen):  # the feature's first number tells the image
        for image in shown[row][other[row]][:, 0]:
            assert f"image {int(image) - 1}" == example.other_image_id


def test_labels_of_the_detector(examples: PretrainingExamples, collator: PretrainingCollator) -> None:
    chosen = [next(e for e in examples if e.image_id == f"image {number}") for number in (0, 1)]
    batch = collator(chosen)
    objects, confidences = batch["obj_labels"]["obj"]
    attributes, certain = batch["obj_labels"]["attr"]
    assert objects.tolist() == [[-1] * 4, [0, 1, 2, 0]], "image 0 has no object labels"
    assert confidences.tolist() == [[0] * 4, [0.5] * 4]
    assert attributes.tolist() == [[0, 1, 0, -1], [0, 1, 0, 1]], "padding has no label"
    assert certain.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]], "labels without scores are certain"


def test_an_example_is_masked_alike_in_any_batch(examples: PretrainingExamples, collator: PretrainingCollator) -> None:
    collator.objectives = replace(collator.objectives, word_rate=0.5, word_replaced=0.2, region_rate=0.5)
    together = collator([examples.draw(1, index) for index in range(64)])
    for index in range(64):
        alone = collator([examples.draw(1, index)])
        words, regions = alone["labels"].shape[1], alone["visual_feats"].shape[1]
        assert torch.equal(together["labels"][index, :words], alone["labels"][0])
        assert torch.equal(together["input_ids"][index, :words], alone["input_ids"][0])
        assert torch.equal(together["visual_feats"][index, :regions], alone["visual_feats"][0])
        assert torch.equal(together["obj_labels"]["feat"][1][index, :regions], alone["obj_labels"]["feat"][1][0])


def test_images_that_are_shared_are_masked_once(examples: PretrainingExamples, collator: PretrainingCollator) -> None:
    """As for the first of their examples; the words are each example's own."""
    objectives = replace(collator.objectives, word_rate=0.5, region_rate=0.5, region_replaced=0.4, region_blanked=0.4)
    sources = collator.processor, collator.regions, objectives
    chosen = [examples.draw(1, index) for index in (8, 3, 0, 11, 5, 16)]  # images 0, 3, 0, 3, 5, 0
    plain = PretrainingCollator(*sources)(chosen)
    shared = PretrainingCollator(*sources, share_images=True)(chosen)
    first = [0, 1, 4]
    assert shared["image_indices"].tolist() == [0, 1, 0, 1, 2, 0]
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels", "matched_label", "ans"):
        assert torch.equal(shared[name], plain[name])
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        assert torch.equal(shared[name], plain[name][first])
    for name, pair in shared["obj_labels"].items():
        assert all(torch.equal(one, other[first]) for one, other in zip(pair, plain["obj_labels"][name], strict=True))


@pytest.mark.parametrize("share", [False, True])
def test_what_there_is_to_compute_is_counted(
    examples: PretrainingExamples, collator: PretrainingCollator, share: bool
) -> None:
    collator.share_images = share
    batch = collator([examples.draw(1, index) for index in range(32)])  # 8 images of 3 to 5 regions
    assert batch["word_count"] == batch["attention_mask"].sum() < batch["attention_mask"].numel()
    assert batch["labelled_word_count"] == (batch["labels"] >= 0).sum() > 0
    assert batch["region_count"] == batch["visual_attention_mask"].sum() == (31 if share else 4 * 31)
    masked = batch["obj_labels"]["feat"][1]
    masked = masked[batch["image_indices"]] if share else masked
    assert batch["masked_region_count"] == masked.sum() > 0
    names = ("word_count", "region_count", "labelled_word_count", "masked_region_count")
    assert {type(batch[name]) for name in names} == {int}


def test_workers_change_nothing(examples: PretrainingExamples, collator: PretrainingCollator) -> None:
    runs = []
    for workers in (0, 2):
        loader = DataLoader(examples, batch_size=8, collate_fn=collator, num_workers=workers)  # type: ignore[arg-type]
        runs.append([flat(batch) for batch in loader])
    for plain, with_workers in zip(*runs, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(plain, with_workers, strict=True))


def test_long_sentences_are_cut(examples: PretrainingExamples, collator: PretrainingCollator) -> None:
    long = replace(examples[0], sentence=" ".join(WORDS * 20))
    batch = collator([long])
    assert batch["input_ids"].shape == (1, 20)
    assert batch["input_ids"][0, -1] == collator.processor.tokenizer.sep_token_id
