from pathlib import Path

import pytest

from lxmert import Regions
from lxmert.processing import RegionStore
from lxmert.processing.joined_regions import JoinedRegions


def make(image_id: str, value: float = 0.0) -> Regions:
    return Regions(features=[[value]], boxes=[[0, 0, 9, 9]], image_size=(9, 9), image_id=image_id)


def test_parts_are_one_mapping(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "store", [make("a", 1), make("b", 2)])
    joined = JoinedRegions(store, {"c": make("c", 3)})
    assert list(joined) == ["a", "b", "c"]
    assert len(joined) == 3
    assert joined["b"].features.tolist() == [[2]]
    assert [regions.image_id for regions in joined.many(["c", "a", "c"])] == ["c", "a", "c"]
    assert "c" in joined
    assert "d" not in joined
    with pytest.raises(KeyError, match="Image 'd' is not among the 3 images of .*store, dict"):
        joined["d"]


def test_an_image_is_in_one_part(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "store", [make("a"), make("b")])
    with pytest.raises(ValueError, match="Image 'b' is in two parts, .*store and dict"):
        JoinedRegions(store, {"c": make("c")}, {"b": make("b")})
    with pytest.raises(ValueError, match="parts is empty"):
        JoinedRegions()


def test_features_are_of_one_width(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "store", [make("a"), make("b")])
    wider = Regions(features=[[0, 0]], boxes=[[0, 0, 9, 9]], image_size=(9, 9), image_id="c")
    with pytest.raises(ValueError, match=r"width: 1 in .*store \(image 'a'\), 2 in dict \(image 'c'\). .*one detector"):
        JoinedRegions({}, store, {"c": wider})
