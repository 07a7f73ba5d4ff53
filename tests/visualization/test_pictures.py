"""What drawings over pictures share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lxmert import Regions
from lxmert.visualization import draw_region_graph, draw_relevance, draw_word_attention
from lxmert.visualization.pictures import (
    WEIGHT_COLOURS,
    draw_weights,
    lit,
    open_picture,
    picture_of,
    pixels_of_a_point,
    show_picture,
    write_figure,
)
from tests.visualization.made_explanations import WORDS, make_explanation, make_regions, make_relevance

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


@pytest.mark.parametrize("draw", [draw_relevance, draw_region_graph, draw_word_attention])
def test_a_picture_of_another_size_is_not_stretched(draw: Callable[..., Path], tmp_path: Path) -> None:
    found = make_relevance([0.1] * len(WORDS), [0.1] * 3)
    explanation = make_explanation(relevances={"generic": {"yes": found}})
    height, width = explanation.regions.image_size
    other = replace(explanation, image=Image.new("RGB", (2 * width, height)))
    with pytest.raises(ValueError, match=rf"image has {height} x {2 * width} pixels .* give the same picture"):
        draw(other, tmp_path / "drawn.png")


def test_huge_pictures_are_made_smaller() -> None:
    regions = Regions(features=np.zeros((1, 1)), boxes=np.array([[0, 0, 2000, 4000]]), image_size=(5000, 3000))
    image = Image.new("RGB", (3000, 5000), "white")
    image.paste("red", (0, 0, 2000, 4000))
    explanation = replace(make_explanation(), image=image, regions=regions)
    picture, note = picture_of(explanation)
    assert (picture.shape, note) == ((2048, 1229, 3), "")
    shade = lit(picture, regions, np.ones(1))
    assert (shade[:1630, :810] == [255, 0, 0]).all()
    assert (shade[1650:] != 255).all()
