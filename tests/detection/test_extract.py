from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lxmert import ComponentRegionExtractor
from lxmert.detection import extract_regions


def test_regions_are_stored_once_and_reused(
    drawing: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = ComponentRegionExtractor(crop_size=2)
    images = {"train/0": drawing, "test/0": Image.new("RGB", (5, 5))}
    store, reused = extract_regions(images, extractor, tmp_path / "regions")
    assert not reused
    assert "2/2" in capsys.readouterr().err
    assert {name: len(regions) for name, regions in store.items()} == {"train/0": 3, "test/0": 1}
    np.testing.assert_allclose(store["train/0"].features, extractor(drawing)[0].features, atol=1e-2)

    again, reused = extract_regions(images, extractor, tmp_path / "regions")
    assert reused
    assert "2/2" not in capsys.readouterr().err
    assert again["test/0"].boxes.tolist() == [[0, 0, 5, 5]]


def test_other_settings_or_images_do_not_reuse(drawing: Image.Image, tmp_path: Path) -> None:
    extract_regions({"0": drawing}, ComponentRegionExtractor(crop_size=2), tmp_path / "regions", progress=False)
    with pytest.raises(FileExistsError, match="found with other settings: remove it or choose another folder"):
        extract_regions({"0": drawing}, ComponentRegionExtractor(crop_size=3), tmp_path / "regions")
    with pytest.raises(FileExistsError, match="holds other images"):
        extract_regions({"1": drawing}, ComponentRegionExtractor(crop_size=2), tmp_path / "regions")


def test_a_bad_picture_leaves_no_store(drawing: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no image file gone\.png"):
        extract_regions({"0": drawing, "1": "gone.png"}, ComponentRegionExtractor(), tmp_path / "regions")
    assert not list(tmp_path.iterdir())
