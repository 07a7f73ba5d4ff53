from pathlib import Path

import numpy as np
import pytest
import torch

from lxmert import LxmertProcessor, Regions
from lxmert.processing import JoinedRegions, RegionStore, region_table, train_wordpiece_tokenizer
from lxmert.processing.region_table import RegionTable, labels_of, pad_rows, region_counts

WIDTH = 6


def make_regions(number: int) -> Regions:
    """Two to four regions, the features no float16; every third image without objects."""
    count = 2 + number % 3
    generator = np.random.default_rng(number)
    return Regions(
        features=generator.normal(size=(count, WIDTH)),
        boxes=np.sort(generator.uniform(0, 10, (count, 2, 2)), axis=1).reshape(count, 4),
        image_size=(10, 12),
        object_ids=generator.integers(-1, 4, count) if number % 3 else None,
        object_scores=generator.random(count) if number % 3 else None,
        attribute_ids=generator.integers(0, 4, count),
        image_id=f"image {number}",
    )


def by_id(numbers: range) -> dict[str, Regions]:
    return {f"image {number}": make_regions(number) for number in numbers}


class Source(dict[str, Regions]):
    """Regions that lie in memory."""

    def many(self, image_ids: list[str]) -> list[Regions]:
        return [self[image_id] for image_id in image_ids]


@pytest.fixture
def source() -> Source:
    return Source(by_id(range(8)))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_give_what_the_processor_gives(source: Source, dtype: str) -> None:
    image_ids = ["image 5", "image 0", "image 7", "image 1"]
    table = RegionTable.load(source, image_ids, features_dtype=dtype, progress=False)
    asked = ["image 1", "image 5", "image 1"]
    rows = torch.from_numpy(pad_rows(table.places.many(asked)))
    found = table.inputs(rows)
    expected = dict(LxmertProcessor(train_wordpiece_tokenizer(["a"]))(regions=source.many(asked)))
    if dtype == "float16":
        expected["visual_feats"] = expected["visual_feats"].half().float()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
    assert len(table.places) == 4
    assert table.nbytes == (1 + 4 + 2 + 3 + 3) * (WIDTH * (2 if dtype == "float16" else 4) + 16 + 16)


def test_shown_rows_take_the_place_of_features_alone(source: Source) -> None:
    table = RegionTable.load(source, list(source), features_dtype="float32", progress=False)
    (one, other) = table.places.many(["image 1", "image 2"])
    shown = torch.tensor([0, other[3], one[2]])
    found = table.inputs(torch.from_numpy(one), shown)
    features = torch.from_numpy(source["image 2"].features[3])
    assert torch.equal(found["visual_feats"][:2], torch.stack([torch.zeros(WIDTH), features]))
    assert torch.equal(found["visual_pos"], torch.from_numpy(source["image 1"].normalized_boxes))
    assert found["visual_attention_mask"].tolist() == [1, 1, 1], "a region without features is still there"


def test_labels(source: Source) -> None:
    table = RegionTable.load(source, list(source), progress=False)
    for number in (3, 4):
        image = source[f"image {number}"]
        (rows,) = map(torch.from_numpy, table.places.many([image.image_id]))
        for kind in ("object", "attribute"):
            classes, confidences = table.labels_at(rows, kind)
            expected = labels_of(image, kind)
            assert classes.dtype == torch.int64
            assert (classes.tolist(), confidences.tolist()) == tuple(array.tolist() for array in expected)
    assert labels_of(source["image 3"], "object")[1].tolist() == [0, 0], "no classes, no confidence"
    assert labels_of(source["image 3"], "attribute")[1].tolist() == [1, 1], "classes without scores are certain"
    classes, confidences = table.labels_at(torch.zeros(2, dtype=torch.long), "attribute")
    assert (classes.tolist(), confidences.tolist()) == ([-1, -1], [0, 0])


def test_numbers_of_regions_are_looked_up_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RegionStore.create(tmp_path / "store", by_id(range(4)).values())
    joined = JoinedRegions(store, by_id(range(4, 8)))
    asked = ["image 6", "image 0", "image 2", "image 5"]
    assert region_counts(joined, asked, progress=False).tolist() == [2, 2, 4, 4]
    monkeypatch.setattr(RegionStore, "many", lambda *_: pytest.fail("a store must not be read for it"))
    assert region_counts(store, ["image 2", "image 1"], progress=False).tolist() == [4, 3]


def test_many_images_are_loaded_in_parts(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_table, "IMAGES_AT_ONCE", 3)
    table = RegionTable.load(source, list(source), features_dtype="float32", progress=False)
    features = np.concatenate([source[image_id].features for image_id in source])
    assert torch.equal(table.features[1:], torch.from_numpy(features))
    assert not table.features[0].any()


def test_too_little_memory_is_told_before_loading(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_table, "free_memory", lambda _: 500)
    reads: list[int] = []
    monkeypatch.setattr(Source, "many", lambda self, ids: reads.append(len(ids)) or [self[i] for i in ids])
    with pytest.raises(ValueError, match=r"23 regions of 8 images take 0.00 GB in float16, but cpu has 0.00 GB free"):
        RegionTable.load(source, list(source), progress=False)
    assert reads == [8], "they are counted, not loaded"
    assert region_table.free_memory(torch.device("cpu")) == 500


def test_the_memory_that_is_free() -> None:
    assert 1e6 < region_table.free_memory(torch.device("cpu")) < 1e15


def test_the_bar_tells_the_memory(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    RegionTable.load(source, list(source))
    assert "Loading regions, 0.00 GB in float16 on cpu: 100%" in capsys.readouterr().err


def test_what_cannot_be_loaded_is_named(source: Source) -> None:
    with pytest.raises(ValueError, match="image_ids is empty"):
        RegionTable.load(source, [], progress=False)
    with pytest.raises(ValueError, match='features_dtype must be "float16" or "float32", got \'bfloat16\''):
        RegionTable.load(source, list(source), features_dtype="bfloat16", progress=False)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="gone"):
        RegionTable.load(source, ["image 0", "gone"], progress=False)
    table = RegionTable.load(source, ["image 0"], progress=False)
    with pytest.raises(KeyError, match="Image 'image 1' is not among the 1 images of the table"):
        table.places.many(["image 0", "image 1"])
    source["image 2"] = Regions(np.full((1, WIDTH), 7e4), [[0, 0, 1, 2]], (10, 10), image_id="image 2")
    with pytest.raises(ValueError, match="features of image 'image 2' reach 70000, beyond float16"):
        RegionTable.load(source, list(source), progress=False)
    source["image 2"] = Regions(np.zeros((1, 3)), [[0, 0, 1, 2]], (10, 10), image_id="image 2")
    with pytest.raises(ValueError, match=r"Image 'image 2' has features of the shape \(1, 3\), expected are \(1, 6\)"):
        RegionTable.load(source, list(source), progress=False)
