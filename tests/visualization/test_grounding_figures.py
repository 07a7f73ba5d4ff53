from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lxmert import Regions
from lxmert.visualization import Grounding, draw_groundings, grounding_figures
from tests.visualization.pictures import colour_share, pixels_of

SENTENCE = "a red block touching a blue block"
BOXES = np.array([[2, 3, 12, 13], [20, 10, 36, 26], [0, 0, 40, 30]])


def make(picture: Image.Image | None, sentence: str = SENTENCE, scale: tuple[int, int] = (1, 1)) -> Grounding:
    """The second and third words mean the red rectangle, the last ones the blue one and what is around both."""
    probabilities = np.zeros((len(sentence.split()), 3))
    probabilities[[1, 2], 0] = 1.0
    probabilities[-2:, 1] = 1.0
    probabilities[-1, 2] = 0.6
    size = 30 * scale[1], 40 * scale[0]
    regions = Regions(features=np.zeros((3, 1)), boxes=BOXES * [*scale, *scale], image_size=size)
    answers = (("true", 0.93), ("false", 0.07))
    return Grounding(picture, sentence, regions, tuple(sentence.split()), probabilities, answers)


@pytest.fixture
def figures(figures_of: Callable[[ModuleType], list[Figure]]) -> list[Figure]:
    """The figures that are drawn."""
    return figures_of(grounding_figures)


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts] + [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_what_a_word_means_is_lit_and_the_rest_dimmed(drawing: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "new" / "words.png"
    assert draw_groundings([make(drawing)], path, "title", words=[[2]]) == path
    pixels = pixels_of(path)
    red, blue = colour_share(pixels, (255, 0, 0)), colour_share(pixels, (0, 0, 255))
    dimmed_red, dimmed_blue = colour_share(pixels, (171, 120, 120)), colour_share(pixels, (120, 120, 171))
    assert red / blue == pytest.approx(2 * 100 / 256, rel=0.1), "red twice, in the picture and in the panel; blue once"
    assert dimmed_blue == pytest.approx(blue, rel=0.1), "blue is dimmed in the panel"
    assert dimmed_red < 0.1 * red
    assert colour_share(pixels, (212, 0, 106)) > 0.0005, "an outline"
    draw_groundings([make(drawing)], path, "title", words=[[6]])
    pixels = pixels_of(path)
    assert colour_share(pixels, (171, 120, 120)) == pytest.approx(0.5 * red, rel=0.1), "red within a region that is lit"
    assert colour_share(pixels, (0, 0, 255)) > 1.5 * blue
    around = (1200 - 100 - 256) / 100 * 0.5 * red
    assert colour_share(pixels, (221, 221, 221)) == pytest.approx(around, rel=0.1), "a little dimmed, at 60 %"


def test_rows_tell_sentence_answer_and_words(drawing: Image.Image, tmp_path: Path, figures: list[Figure]) -> None:
    item = make(drawing)
    items = [
        replace(item, truth="true"),
        replace(item, truth="false", caption="number 7"),
        item,
        replace(item, answers=(), truth="false", probabilities=np.zeros((7, 3))),
    ]
    draw_groundings(items, tmp_path / "words.svg", "What words mean")
    texts = texts_of(figures[0])
    assert texts.count(SENTENCE) == 4
    assert {"What words mean", "true (93%): right", "true (93%): wrong", "true (93%)", "truth: false"} <= set(texts)
    assert {"number 7", "no word means a region"} <= set(texts)
    # of red, block, blue and block: the first means what the second does, but there is room for all
    assert [axis.get_title() for axis in figures[0].axes[:5]] == ["", "red", "red block", "blue", "blue block"]
    assert [len(axis.patches) for axis in figures[0].axes[:5]] == [0, 1, 1, 1, 2], "outlines of what is meant"
    outline = figures[0].axes[3].patches[0].get_bbox()
    assert outline.extents.tolist() == BOXES[1].tolist()
    assert texts.index("true (93%): right") < texts.index("true (93%): wrong") < texts.index("true (93%)")
    colours = {text.get_text(): text.get_color() for text in figures[0].texts}
    assert colours["true (93%): right"] == grounding_figures.RIGHT
    assert colours["true (93%): wrong"] == grounding_figures.WRONG
    assert (tmp_path / "words.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("scale", [(1, 1), (4, 1), (1, 4)], ids=["drawing", "wide", "high"])
def test_nothing_overlaps(scale: tuple[int, int], tmp_path: Path, figures: list[Figure]) -> None:
    picture = Image.new("RGB", (40 * scale[0], 30 * scale[1]), "white")
    long = "there are exactly two towers with blue blocks and one of them has a black block above " * 3 + SENTENCE
    items = [replace(make(picture, text, scale), truth="true", caption="caption " * 20) for text in (SENTENCE, long)]
    draw_groundings([*items, make(None, SENTENCE, scale)], tmp_path / "words.png", "A long title " * 20)
    figure = figures[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox
    things = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    for axis in figure.axes:
        things.append((f"panel {axis.get_title()}", axis.get_window_extent(renderer)))
        if axis.get_title():
            things.append((axis.get_title(), axis.title.get_window_extent(renderer)))
    assert len(things) > 20
    for (name, one), (other_name, other) in combinations(things, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, down) <= 1, f"{name} overlaps {other_name}"
    for name, box in things:
        assert page.x0 <= box.x0, name
        assert box.x1 <= page.x1, name
        assert page.y0 <= box.y0, name
        assert box.y1 <= page.y1, name


def test_pictures_that_are_absent_or_damaged_are_drawn_empty(tmp_path: Path, figures: list[Figure]) -> None:
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    item = make(None)
    draw_groundings([item, replace(item, image=tmp_path / "damaged.png")], tmp_path / "words.png", "title")
    assert {"picture not at hand", "picture cannot be read"} <= set(texts_of(figures[0]))


def test_bad_calls_are_refused(drawing: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "words.png"
    with pytest.raises(ValueError, match="groundings is empty: there is nothing to draw"):
        draw_groundings([], path, "title")
    with pytest.raises(ValueError, match="words for each sentence, got those of 2 for 1 sentences"):
        draw_groundings([make(drawing)], path, "title", words=[[1], [2]])
    with pytest.raises(ValueError, match=r"words names positions \[7\], '.*' has words 0 to 6"):
        draw_groundings([make(drawing)], path, "title", words=[[1, 7]])
    assert not path.exists()
