from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from lxmert.detection import FasterRcnnImageProcessor
from lxmert.detection.faster_rcnn_image_processor import CAFFE_PIXEL_MEAN, resized_size
from tests.detection.small_detector import save_small_detector


def test_channels_are_blue_green_red_minus_the_mean() -> None:
    picture = Image.new("RGB", (20, 10), (200, 100, 50))
    inputs = FasterRcnnImageProcessor(shorter_side=10, longer_side=20)(picture)
    expected = torch.tensor([50.0, 100, 200]) - torch.tensor(CAFFE_PIXEL_MEAN)
    torch.testing.assert_close(inputs["pixel_values"], expected[None, :, None, None].expand(1, 3, 10, 20))
    assert inputs["image_sizes"].tolist() == [[10, 20]]
    assert inputs["scales_yx"].tolist() == [[1, 1]]


def test_a_file_and_a_picture_and_an_array_give_the_same(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    processor = FasterRcnnImageProcessor(shorter_side=24, longer_side=64)
    first = processor(picture)["pixel_values"]
    assert first.std() > 20
    for same in (np.asarray(picture), tmp_path / "picture.png", str(tmp_path / "picture.png")):
        assert torch.equal(processor(same)["pixel_values"], first)


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((480, 640), (600, 1000), (600, 800)),
        ((640, 480), (800, 1333), (1067, 800)),
        ((300, 1200), (600, 1000), (250, 1000)),
        ((1, 30000), (600, 1000), (1, 1000)),
        ((1, 1), (600, 1000), (600, 600)),
    ],
)
def test_sizes(size: tuple[int, int], limits: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(*size, *limits) == expected
    assert resized_size(*size[::-1], *limits) == expected[::-1]


def test_a_batch_is_filled_up_with_zeros() -> None:
    wide, tall = Image.new("RGB", (40, 20), "white"), Image.new("RGB", (10, 30), "white")
    inputs = FasterRcnnImageProcessor(shorter_side=20, longer_side=40)([wide, tall])
    assert inputs["pixel_values"].shape == (2, 3, 40, 40)
    assert inputs["image_sizes"].tolist() == [[20, 40], [40, 13]]
    torch.testing.assert_close(inputs["scales_yx"], torch.tensor([[1, 1], [30 / 40, 10 / 13]]))
    assert inputs["pixel_values"][0, :, 20:].abs().max() == 0
    assert inputs["pixel_values"][1, :, :, 13:].abs().max() == 0
    assert inputs["pixel_values"][1, :, :40, :13].min() > 100


def test_antialiasing_averages_over_what_interpolation_skips() -> None:
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::4] = 255
    plain, smooth = (
        FasterRcnnImageProcessor(10, 10, antialias=antialias)(stripes)["pixel_values"][0, 0] + CAFFE_PIXEL_MEAN[0]
        for antialias in (False, True)
    )
    assert plain.abs().max() < 1e-4  # the pixels between the stripes
    assert 50 < smooth.mean() < 80  # a quarter of 255


def test_settings_are_saved_and_loaded(tmp_path: Path) -> None:
    FasterRcnnImageProcessor(7, 9, pixel_mean=[1, 2, 3], antialias=True).save_pretrained(tmp_path)
    loaded = FasterRcnnImageProcessor.from_pretrained(tmp_path)
    assert (loaded.shorter_side, loaded.longer_side, loaded.pixel_mean) == (7, 9, [1, 2, 3])
    assert loaded.antialias
    assert FasterRcnnImageProcessor.from_pretrained(tmp_path, longer_side=11).longer_side == 11


def test_auto_image_processor_finds_it(tmp_path: Path) -> None:
    loaded = AutoImageProcessor.from_pretrained(save_small_detector(tmp_path))
    assert isinstance(loaded, FasterRcnnImageProcessor)
    assert loaded.shorter_side == 64


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"shorter_side": 0}, ValueError, "1 <= shorter_side <= longer_side must hold, got 0 and 1333"),
        ({"shorter_side": 2000}, ValueError, "got 2000 and 1333"),
        ({"pixel_mean": [1, 2]}, ValueError, "pixel_mean must be three numbers for B, G, R"),
        ({"pixel_mean": [1, 2, float("nan")]}, ValueError, "pixel_mean must be three numbers"),
        ({"shorter_side": "800"}, TypeError, "shorter_side must be a whole number of pixels, got '800'"),
        ({"antialias": "bicubic"}, TypeError, "antialias must be True or False"),
        ({"shorter_sid": 3}, TypeError, "`shorter_sid` \\(did you mean `shorter_side`"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        FasterRcnnImageProcessor(**values)


def test_overrides_are_checked_like_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("input: {min_size_test: 64, max_size_test: 96}")
    assert FasterRcnnImageProcessor.from_pretrained(tmp_path, longer_side=80).longer_side == 80
    with pytest.raises(TypeError, match="`shorter_sid` \\(did you mean `shorter_side`"):
        FasterRcnnImageProcessor.from_pretrained(tmp_path, shorter_sid=100)
    with pytest.raises(ValueError, match="got 64 and 8"):
        FasterRcnnImageProcessor.from_pretrained(tmp_path, longer_side=8)


def test_arrays_and_other_modes() -> None:
    processor = FasterRcnnImageProcessor(8, 16)
    arrays = processor(Image.new("RGB", (8, 8)), return_tensors="np")
    assert isinstance(arrays["pixel_values"], np.ndarray)
    assert processor.prepare(Image.new("L", (8, 8), 200)).shape == (3, 8, 8)
    with pytest.raises(ValueError, match="images is an empty list"):
        processor([])
