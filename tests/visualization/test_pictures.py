"""What drawings over pictures share."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lxmert.visualization.pictures import (
    WEIGHT_COLOURS,
    draw_weights,
    lit,
    open_picture,
    pixels_of_a_point,
    show_picture,
    write_figure,
)
from tests.visualization.made_explanations import make_regions

WEIGHTS = np.array([0.2, 0.4, 0.0])


def test_small_regions_are_lit_above_those_around_them() -> None:
    white = np.full((30, 40, 3), 250, np.uint8)
    shown = lit(white, make_regions(), np.array([1.0, 0.0, 0.5]))
    assert shown[8, 7].tolist() == [250] * 3
    assert shown[18, 28].tolist() == [0.2 * 250 + 0.8 * 150] * 3, "within the third region, but its own light counts"
    assert shown[1, 1].tolist() == [0.6 * 250 + 0.4 * 150] * 3
    twice = lit(white.repeat(2, axis=0).repeat(2, axis=1), make_regions(), np.array([1.0, 0.0, 0.5]))
    np.testing.assert_array_equal(twice[::2, ::2], shown)


def test_outlines_lie_outside_of_boxes_and_the_strongest_are_numbered() -> None:
    figure = Figure(figsize=(4, 3))
    axis = figure.add_axes((0, 0, 1, 1))
    show_picture(axis, np.zeros((30, 40, 3), np.uint8), (30, 40))
    assert pixels_of_a_point(axis) == pytest.approx(40 / (4 * 72))
    regions = make_regions()
    draw_weights(axis, regions, WEIGHTS, 0.4, numbered=2)
    assert [text.get_text() for text in axis.texts] == [".40", ".20"]
    around, red, blue = axis.patches
    assert blue.get_edgecolor()[:3] == WEIGHT_COLOURS(1.0)[:3]
    assert red.get_edgecolor()[:3] == WEIGHT_COLOURS(0.5)[:3]
    assert blue.get_zorder() > red.get_zorder() > around.get_zorder()
    out = blue.get_linewidth() / 2 * pixels_of_a_point(axis)
    np.testing.assert_allclose(blue.get_bbox().extents, regions.boxes[1] + [-out, -out, out, out], atol=1e-5)
    draw_weights(axis, regions, np.zeros(3), 0.0, numbered=1)
    assert axis.texts[-1].get_text() == ".00", "nothing has weight"


def test_pictures_that_are_absent_or_damaged_are_empty(tmp_path: Path, drawing: Image.Image) -> None:
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    for image, note in ((None, "picture not at hand"), (tmp_path / "damaged.png", "picture cannot be read")):
        picture, told = open_picture(image, (3, 4))
        assert told == note
        assert picture.shape == (3, 4, 3)
        assert (picture == 0xF3).all()
    picture, told = open_picture(drawing, (30, 40))
    assert told == ""
    np.testing.assert_array_equal(picture, np.asarray(drawing))


def test_figures_are_written_by_their_ending(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")):
        path = write_figure(figure, tmp_path / "new" / f"figure.{ending}")
        assert path.read_bytes().startswith(start)
    with pytest.raises(ValueError, match=r"path must end in \.png, \.svg or \.pdf, got .*figure\.jpg"):
        write_figure(figure, tmp_path / "other" / "figure.jpg")
    assert not (tmp_path / "other").exists()
