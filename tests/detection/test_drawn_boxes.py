import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lxmert import LxmertProcessor
from lxmert.detection import DrawnBoxesRegionExtractor, make_extractor
from lxmert.processing import RegionExtractor, train_wordpiece_tokenizer
from lxmert.training.nlvr import COLOURS, SHAPES, scene_regions
from tests.conftest import shared_folder


@pytest.fixture
def sheet() -> Image.Image:
    """Two boxes: a blue square and a black square that touches a black one of half its side; none."""
    image = Image.new("RGB", (180, 80), "gray")
    image.paste("white", (0, 0, 80, 80))
    image.paste("white", (100, 20, 180, 60))
    image.paste("blue", (50, 10, 70, 30))
    image.paste("black", (20, 40, 40, 60))
    image.paste("black", (40, 40, 50, 50))
    return image


def test_regions_by_hand(sheet: Image.Image) -> None:
    [regions] = DrawnBoxesRegionExtractor(crop_size=2)(sheet)
    assert regions.boxes.tolist() == [
        [50, 10, 70, 30],
        [20, 40, 40, 60],
        [40, 40, 50, 50],
        [0, 0, 80, 80],
        [100, 20, 180, 60],
    ]
    assert [regions.describe(i) for i in range(5)] == ["blue square", "black square", "black square", "box", "box"]
    assert regions.attribute_ids is not None
    assert regions.attribute_ids[-2:].tolist() == [-1, -1]
    assert regions.image_size == (80, 180)
    blue, black, white = [-2.0, -2.0, 2.0] * 4, [-2.0] * 12, [2.0] * 12
    assert regions.features.tolist() == [
        [*blue, 0.25, 0.25],
        [*black, 0.25, 0.25],
        [*black, 0.125, 0.125],
        [*white, 1, 1],
        [*white, 1, 1],
    ]
    assert regions.features.dtype == np.float32


def test_a_picture_without_boxes_is_one() -> None:
    page = Image.new("RGB", (100, 50), "white")
    page.paste("red", (10, 10, 30, 30))
    [regions] = DrawnBoxesRegionExtractor()(page)
    assert [regions.describe(i) for i in range(2)] == ["red square", "box"]
    assert regions.boxes.tolist() == [[10, 10, 30, 30], [0, 0, 100, 50]]
    assert regions.features[0, -2:].tolist() == pytest.approx([0.2, 0.4])
    [empty] = DrawnBoxesRegionExtractor()(Image.new("RGB", (3, 2), "white"))
    assert empty.boxes.tolist() == [[0, 0, 3, 2]]


def test_a_neighbour_does_not_show() -> None:
    extractor, image = DrawnBoxesRegionExtractor(), Image.new("RGB", (100, 100), "white")
    triangle = Image.new("L", (40, 40))
    triangle.putdata([255 * (abs(2 * x - 39) <= y) for y in range(40) for x in range(40)])
    image.paste("green", (20, 20), triangle)
    alone = extractor(image)[0]
    image.paste("black", (20, 20, 28, 28))  # inside the triangle's box
    both = extractor(image)[0]
    assert [both.describe(i) for i in range(3)] == ["black square", "green triangle", "box"]
    assert np.array_equal(both.features[1], alone.features[0])
    assert np.array_equal(both.features[2], alone.features[1])


def test_transparency_is_white(sheet: Image.Image) -> None:
    pixels = np.array(sheet.convert("RGBA"))
    pixels[(pixels == 255).all(axis=2)] = 0
    transparent = Image.fromarray(pixels)
    extractor = DrawnBoxesRegionExtractor()
    file = io.BytesIO()
    transparent.save(file, "PNG")
    for picture in (transparent, np.asarray(transparent), file.getvalue()):
        [regions], [expected] = extractor(picture), extractor(sheet)
        assert np.array_equal(regions.features, expected.features)
        assert np.array_equal(regions.boxes, expected.boxes)


def test_the_largest_regions_are_kept(sheet: Image.Image) -> None:
    def boxes(number: int) -> list[list[float]]:
        return DrawnBoxesRegionExtractor(maximum_regions=number)(sheet)[0].boxes.tolist()

    assert boxes(4) == [[50, 10, 70, 30], [20, 40, 40, 60], [0, 0, 80, 80], [100, 20, 180, 60]]
    assert boxes(3) == [[50, 10, 70, 30], [0, 0, 80, 80], [100, 20, 180, 60]]
    assert boxes(2) == [[0, 0, 80, 80], [100, 20, 180, 60]]
    assert boxes(1) == [[0, 0, 80, 80]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_size": 0}, "crop_size must be a whole number of at least 1, got 0"),
        ({"colour_tolerance": -1}, "colour_tolerance must be a whole number of at least 0, got -1"),
        ({"minimum_area": 1.5}, "minimum_area must be a whole number"),
        ({"minimum_thickness": 0}, "minimum_thickness must be a whole number"),
        ({"maximum_regions": "9"}, "maximum_regions must be a whole number"),
        ({"panel_share": 0}, r"panel_share must be a number in \(0, 1\], got 0"),
        ({"panel_share": 1.5}, r"panel_share must be a number in \(0, 1\], got 1.5"),
        ({"panel_share": float("nan")}, r"panel_share must be a number in \(0, 1\], got nan"),
        ({"panel_share": "half"}, r"panel_share must be a number in \(0, 1\], got 'half'"),
        ({"mean": [0, 0]}, "mean must be three numbers"),
        ({"standard_deviation": [0, 1, 1]}, "standard_deviation must be three positive numbers"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawnBoxesRegionExtractor(**settings)


def test_the_processor_carries_it(sheet: Image.Image, tmp_path: Path) -> None:
    settings = {
        "crop_size": 4,
        "colour_tolerance": 20,
        "minimum_area": 9,
        "minimum_thickness": 2,
        "maximum_regions": 30,
        "panel_share": 0.4,
        "mean": [0.1, 0.2, 0.3],
        "standard_deviation": [0.5, 0.6, 0.7],
    }
    extractor = make_extractor("drawn_boxes", settings=[json.dumps(settings)])
    assert extractor.settings() == settings
    assert extractor.feature_dim == 50
    processor = LxmertProcessor(train_wordpiece_tokenizer(["there is a black item"]), extractor)
    processor.save_pretrained(tmp_path)
    again = LxmertProcessor.from_pretrained(tmp_path)
    assert isinstance(again.region_extractor, DrawnBoxesRegionExtractor)
    assert again.region_extractor.settings() == settings
    batches = [each(text=["there is a black item"], images=[sheet], return_tensors="pt") for each in (processor, again)]
    assert batches[0]["visual_feats"].shape == (1, 5, 50)
    assert (batches[0]["visual_feats"] == batches[1]["visual_feats"]).all()
    assert RegionExtractor.from_dict(DrawnBoxesRegionExtractor().to_dict()).settings()["panel_share"] == 0.5


def test_real_pictures_show_their_scenes() -> None:
    folder = shared_folder("data/nlvr") / "dev"
    lines = [json.loads(line) for line in (folder / "dev.json").read_text().splitlines()][::20]
    pictures = [folder / "images" / line["directory"] / f"dev-{line['identifier']}-0.png" for line in lines]
    for line, regions in zip(lines, DrawnBoxesRegionExtractor()(pictures), strict=True):
        image_id = line["identifier"]
        expected = scene_regions(image_id, line["structured_rep"])
        assert expected.object_ids is not None
        assert expected.attribute_ids is not None
        labels = expected.object_ids, expected.attribute_ids
        colours = [*COLOURS, ""]  # the last for boxes
        names = [f"{colours[c]} {SHAPES[s]}".strip() for s, c in zip(*labels, strict=True)]
        there = sorted(zip(expected.boxes.tolist(), names, strict=True))
        here = sorted((box, regions.describe(i)) for i, box in enumerate(regions.boxes.tolist()))
        assert here == there, image_id
