import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from lxmert import ComponentRegionExtractor
from lxmert.detection.components import find_components


def test_shapes_then_the_whole_image(drawing: Image.Image) -> None:
    regions = ComponentRegionExtractor(margin=0)(drawing)[0]
    assert regions.boxes.tolist() == [[20, 10, 36, 26], [2, 3, 12, 13], [0, 0, 40, 30]]
    assert regions.image_size == (30, 40)
    # blue: R and G are (0 - 0.5) / 0.25 = -2, B is (1 - 0.5) / 0.25 = 2
    assert np.array_equal(regions.features[0].reshape(8, 8, 3), np.tile([-2, -2, 2], (8, 8, 1)))
    assert np.array_equal(regions.features[1].reshape(8, 8, 3), np.tile([2, -2, -2], (8, 8, 1)))


def test_the_margin_shows_in_the_crop_not_in_the_box(drawing: Image.Image) -> None:
    regions = ComponentRegionExtractor(crop_size=6, margin=2)(drawing)[0]
    assert regions.boxes[1].tolist() == [2, 3, 12, 13]
    crop = regions.features[1].reshape(6, 6, 3)
    assert crop[0, 0, 1] > 1  # the background's green
    assert crop[3, 3].tolist() == [2, -2, -2]


def test_anti_aliased_edges_make_no_regions() -> None:
    large = Image.new("RGB", (640, 640), (240, 230, 250))
    pen = ImageDraw.Draw(large)
    pen.ellipse((60, 60, 340, 340), fill=(0, 128, 128))
    pen.rectangle((405, 405, 595, 555), fill=(128, 128, 128))
    small = large.resize((64, 64), Image.Resampling.LANCZOS)
    assert len(set(small.get_flattened_data())) > 20, "the picture should have mixed colours"
    boxes = ComponentRegionExtractor()(small)[0].boxes
    assert len(boxes) == 3
    np.testing.assert_allclose(boxes[0], [6, 6, 34, 34], atol=1)
    np.testing.assert_allclose(boxes[1], [40, 40, 60, 56], atol=1)


def test_touching_shapes_of_different_colours_are_two() -> None:
    pixels = np.full((20, 20, 3), 255, np.uint8)
    pixels[4:10, 4:10], pixels[10:16, 4:10] = (200, 0, 0), (0, 0, 200)
    assert sorted(find_components(pixels, 32, 4, 3)) == [(4, 4, 10, 10), (4, 10, 10, 16)]
    # the same colour apart is two, too
    pixels[10:16, 4:10], pixels[12:18, 12:18] = 255, (210, 5, 5)
    assert sorted(find_components(pixels, 32, 4, 3)) == [(4, 4, 10, 10), (12, 12, 18, 18)]


def test_small_and_thin_components_are_dropped() -> None:
    pixels = np.full((20, 20, 3), 255, np.uint8)
    pixels[2:5, 2:5] = 0
    pixels[10, :] = 0
    assert find_components(pixels, 32, 9, 3) == [(2, 2, 5, 5)]
    assert find_components(pixels, 32, 10, 3) == []
    assert find_components(pixels, 32, 9, 1) == [(0, 10, 20, 11), (2, 2, 5, 5)]


def test_an_empty_drawing_is_one_region() -> None:
    regions = ComponentRegionExtractor()([Image.new("RGB", (7, 5), "pink"), Image.new("L", (1, 1))])
    assert [item.boxes.tolist() for item in regions] == [[[0, 0, 7, 5]], [[0, 0, 1, 1]]]


def test_the_largest_regions_are_kept(drawing: Image.Image) -> None:
    assert ComponentRegionExtractor(maximum_regions=2)(drawing)[0].boxes.tolist() == [[20, 10, 36, 26], [0, 0, 40, 30]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_size": 0}, "crop_size must be a whole number of at least 1, got 0"),
        ({"minimum_area": 2.5}, "minimum_area must be a whole number of at least 1, got 2.5"),
        ({"mean": (0.5,)}, "mean must be three numbers for R, G, B"),
        ({"standard_deviation": (1, 0, 1)}, "standard_deviation must be three positive numbers"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComponentRegionExtractor(**settings)


def components_pixel_by_pixel(pixels: np.ndarray, tolerance: int, area: int, thickness: int) -> list:
    """The definition of `find_components`, which compares all pixels with each colour."""

    def near(colour: np.ndarray) -> np.ndarray:
        return (np.abs(pixels.astype(int) - colour) <= tolerance).all(axis=2)

    def by_frequency(colours: np.ndarray) -> np.ndarray:
        values, counts = np.unique(colours, axis=0, return_counts=True)
        return values[np.argsort(-counts, kind="stable")]

    free = ~near(by_frequency(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))[0])
    found = []
    for colour in by_frequency(pixels[free]):
        if free.sum() < area:
            break
        claimed = free & near(colour)
        free &= ~claimed
        thick = ndimage.binary_erosion(claimed, structure=np.ones((thickness, thickness)))
        labels, _ = ndimage.label(claimed, structure=np.ones((3, 3)))
        for label in np.unique(labels[thick]):
            ys, xs = np.nonzero(labels == label)
            if len(ys) >= area:
                found.append((len(ys), (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)))
    return [box for _, box in sorted(found, key=lambda item: -item[0])]


@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_components_are_those_of_the_definition(thickness: int) -> None:
    generator = np.random.default_rng(thickness)
    number = 0
    for _ in range(40):
        width, height = (int(side) for side in generator.integers(1, 50, 2))
        large = Image.new("RGB", (3 * width, 3 * height), "white")
        pen = ImageDraw.Draw(large)
        for x, y, side in generator.integers(2, 50, (6, 3)).tolist():
            pen.ellipse((x, y, x + side, y + side), fill=tuple(generator.integers(0, 256, 3).tolist()))
        pixels = np.asarray(large.resize((width, height), Image.Resampling.BILINEAR))
        expected = components_pixel_by_pixel(pixels, 40, 4, thickness)
        assert find_components(pixels, 40, 4, thickness) == expected
        number += len(expected)
    assert number > 50
