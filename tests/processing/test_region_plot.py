import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lxmert import Regions
from lxmert.processing import BottomUpFile, read_label_names
from lxmert.processing.region_plot import COLOURS, EMPTY, best_first, place_labels
from tests.conftest import shared_folder

BOXES = [[10, 20, 60, 80], [100, 40, 180, 110], [0, 0, 200, 120]]


def make(**changes: object) -> Regions:
    labels = {
        "object_ids": [1, 0, -1],
        "object_names": ("bird", "car"),
        "object_scores": [0.5, 0.87, 0.0],
        "attribute_ids": [-1, 0, -1],
        "attribute_names": ("red",),
    }
    return Regions(**({"features": np.zeros((3, 2)), "boxes": BOXES, "image_size": (120, 200)} | labels | changes))


def rectangles(ax: Axes) -> list[tuple[list[float], str]]:
    """Corners and colour of the boxes, the lowest first."""
    patches = sorted(ax.patches, key=lambda patch: patch.get_zorder())
    return [([*p.get_xy(), p.get_x() + p.get_width(), p.get_y() + p.get_height()], to_hex(p.get_ec())) for p in patches]


def extents(ax: Axes) -> np.ndarray:
    """(R, 4), corners of the labels' backgrounds in pixels of the image."""
    ax.figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    corners = np.array([ax.transData.inverted().transform(box.get_points()) for box in boxes])  # (R, 2, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def assert_inside(ax: Axes, regions: Regions) -> None:
    height, width = regions.image_size
    found = extents(ax)
    assert (found[:, :2] >= -0.01 * max(width, height)).all()
    assert (found[:, 2:] <= np.array([width, height]) + 0.01 * max(width, height)).all()


def hidden(ax: Axes) -> float:
    """The largest share of a label that another one covers."""
    found = extents(ax)
    upper = np.maximum(found[:, None, :2], found[None, :, :2])
    lower = np.minimum(found[:, None, 2:], found[None, :, 2:])
    shared = (lower - upper).clip(0).prod(axis=2)
    areas = (found[:, 2:] - found[:, :2]).prod(axis=1)
    np.fill_diagonal(shared, 0)
    return float((shared / areas[:, None]).max())


def test_boxes_and_labels_the_surest_on_top() -> None:
    ax = make().plot()
    first, second, third = (colour.lower() for colour in COLOURS[:3])
    assert rectangles(ax) == [(BOXES[2], third), (BOXES[0], second), (BOXES[1], first)]
    assert [text.get_text() for text in ax.texts] == ["red bird 0.87", "car 0.50", "2"]
    assert [to_hex(text.get_bbox_patch().get_fc()) for text in ax.texts] == [first, second, third]
    assert np.diff([text.get_zorder() for text in ax.texts]).max() < 0
    assert min(text.get_zorder() for text in ax.texts) > max(patch.get_zorder() for patch in ax.patches)
    widths = {to_hex(patch.get_ec()): patch.get_linewidth() for patch in ax.patches}
    assert widths[first] > widths[second] > widths[third] > 0.5
    np.testing.assert_allclose(extents(ax)[1, :2], BOXES[0][:2], atol=0.5)  # the upper left corner


def test_the_axes_have_the_pixels_of_the_image() -> None:
    ax = make().plot()
    assert ax.images[0].get_extent() == [0, 200, 120, 0]
    np.testing.assert_allclose(ax.get_xlim(), [-1, 201])
    np.testing.assert_allclose(ax.get_ylim(), [120.6, -0.6])
    assert to_hex(np.asarray(ax.images[0].get_array())[0, 0] / 255) == EMPTY.lower()
    width, height = ax.figure.get_size_inches()
    assert width / height == pytest.approx(200 / 120)


def test_top_leaves_out_the_least_sure() -> None:
    assert [text.get_text() for text in make().plot(top=1).texts] == ["red bird 0.87"]
    assert len(make().plot(top=9).texts) == 3
    for top in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"top must be a whole number of at least 1, .* got {top}"):
            make().plot(top=top)


def test_regions_without_labels_have_numbers_in_their_order() -> None:
    plain = Regions(features=np.zeros((3, 2)), boxes=BOXES, image_size=(120, 200))
    assert [text.get_text() for text in plain.plot().texts] == ["0", "1", "2"]
    assert best_first(plain).tolist() == [0, 1, 2]
    by_attribute = make(object_scores=None, attribute_scores=[0.1, 0.1, 0.3])
    assert best_first(by_attribute).tolist() == [2, 0, 1], "equal ones as they came"


def test_the_image_may_come_in_several_ways(tmp_path: Path) -> None:
    photograph = Image.new("RGB", (120, 200), "red")  # to be turned by a quarter
    exif = photograph.getexif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "turned.png", exif=exif)
    upright = np.zeros((120, 200, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    grey = np.full((120, 200), 76, np.uint8)
    for image in (tmp_path / "turned.png", str(tmp_path / "turned.png"), Image.fromarray(upright), upright):
        pixels = np.asarray(make().plot(image).images[0].get_array())
        assert pixels.shape[:2] == (120, 200)
        assert pixels[5, 5].tolist() == [255, 0, 0]
    assert np.asarray(make().plot(grey).images[0].get_array())[0, 0].tolist() == [76, 76, 76]


def test_an_image_that_cannot_be_drawn_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for image, error, message in (
        (Image.new("RGB", (120, 200)), ValueError, r"image is 200 x 120 pixels .* of one of 120 x 200: .*resize"),
        (tmp_path / "none.png", FileNotFoundError, r"There is no image file .*none\.png"),
        (tmp_path / "text.png", ValueError, r"No image can be read from .*text\.png"),
        (np.zeros((120, 200)), ValueError, r"array must be uint8 .* got float64 \(120, 200\)"),
        (7, TypeError, "An image must be a PIL image, .* got int"),
    ):
        with pytest.raises(error, match=message):
            make().plot(image)


def test_own_axes_are_drawn_on_and_the_figure_is_saved(tmp_path: Path) -> None:
    figure = Figure((6, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert make().plot(ax=left) is left
    assert make().plot(ax=right, top=1).figure is figure
    assert (len(left.texts), len(right.texts)) == (3, 1)
    assert left.texts[0].get_fontsize() < make(image_size=(900, 900)).plot().texts[0].get_fontsize()
    figure.savefig(tmp_path / "regions.png")
    with Image.open(tmp_path / "regions.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9)} <= colours


def test_names_are_not_read_as_formulas() -> None:
    names = ("$x^2", "$a$ car")
    texts = make(object_names=names).plot().texts
    assert [text.get_text() for text in texts] == ["red $x^2 0.87", "$a$ car 0.50", "2"]
    assert not any(text.get_parse_math() for text in texts)


def test_labels_can_be_read_on_their_colours() -> None:
    many = Regions(features=np.zeros((8, 1)), boxes=[[0, 0, 9, 9]] * 8, image_size=(500, 500))
    texts = many.plot().texts
    assert [text.get_color() for text in texts] == ["black"] * 4 + ["white"] + ["black"] * 3
    assert to_hex(texts[7].get_bbox_patch().get_fc()) == COLOURS[0].lower(), "after seven, from the beginning"


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (480, 640), (60, 1000), (1000, 60), (1, 30000)])
def test_labels_stay_inside_whatever_the_shape(size: tuple[int, int]) -> None:
    height, width = size
    generator = np.random.default_rng(0)
    corners = np.sort(generator.random((36, 2, 2)), axis=1).reshape(36, 4)
    boxes = np.concatenate([corners * [width, height, width, height], [[0, 0, width, height]]])
    regions = Regions(features=np.zeros((37, 1)), boxes=boxes, image_size=size)
    ax = regions.plot(Image.new("RGB", (width, height)))
    assert_inside(ax, regions)
    inches = ax.figure.get_size_inches()
    assert 4 < max(inches) <= 8
    assert max(inches) <= 8.001 * min(inches)


def test_labels_of_one_place_do_not_hide_each_other() -> None:
    same = Regions(
        features=np.zeros((12, 1)),
        boxes=[[200, 200, 400, 400]] * 12,
        image_size=(600, 600),
        object_ids=range(12),
        object_names=[f"class {i}" for i in range(12)],
    )
    ax = same.plot()
    assert hidden(ax) < 0.2
    assert_inside(ax, same)


def test_places_of_labels() -> None:
    boxes = np.array([[20, 30, 80, 90], [60, 80, 90, 95], [0, 0, 100, 12], [20, 30, 80, 90]])
    places = place_labels(boxes, np.array([[30, 10]] * 4), (100, 100))
    assert places.tolist() == [
        [20, 30],  # in the corner of a large box
        [60, 70],  # on a small one
        [0, 0],  # nothing lies above the image
        [50, 30],  # in another corner, as the first is taken
    ]


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs matplotlib: pip install lxmert\[plots\]"):
        make().plot()


def test_regions_of_the_original_with_their_names(tmp_path: Path) -> None:
    folder = shared_folder("data/bottom_up")
    objects, attributes = (tuple(read_label_names(folder / f"{kind}_vocab.txt")) for kind in ("objects", "attributes"))
    assert (len(objects), len(attributes)) == (1600, 400)
    file = BottomUpFile(folder / "train2014_obj36.tsv", cache_dir=tmp_path, progress=False)
    for image_id in list(file)[:3]:
        regions = replace(file[image_id], object_names=objects, attribute_names=attributes)
        ax = regions.plot(folder / f"{image_id}.jpg")
        assert len(ax.texts) == 36
        best = int(regions.object_scores.argmax())
        words = f"{attributes[regions.attribute_ids[best]]} {objects[regions.object_ids[best]]}"
        assert ax.texts[0].get_text() == f"{words} {regions.object_scores[best]:.2f}"
        assert hidden(ax) < 0.5
        assert_inside(ax, regions)
