"""Relevance as a figure: colours and numbers by hand, rows and panels, wrapping, absent pictures."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lxmert.visualization import Explanation, relevance_figures
from lxmert.visualization.pictures import PAPER_COLOURS
from lxmert.visualization.relevance_figures import draw_relevance
from tests.visualization.made_explanations import make_explanation, make_regions, make_relevance, outside, overlaps
from tests.visualization.pictures import colour_share, pixels_of

PIECES = [0.0, 0.1, 0.1, 0.3, 0.0, 0.2, 5.0]  # [CLS] two bal ##loons in it [SEP]


@pytest.fixture
def figures(figures_of: Callable[[ModuleType], list[Figure]]) -> list[Figure]:
    """The figures that are drawn; before each page a sheet on which words are measured."""
    return figures_of(relevance_figures)


@pytest.fixture
def explanation(drawing: Image.Image) -> Explanation:
    """The answer "yes" rests on the red rectangle, "no" half as much on the blue one."""
    relevances = {
        "generic": {
            "yes": make_relevance(PIECES, [0.2, 0.0, 0.0]),
            "no": make_relevance([0.0] * 7, [0.0, 0.1, -0.3]),
        },
        "rollout": {
            "yes": make_relevance(PIECES, [0.2, 0.2, 0.2], "rollout"),
            "no": make_relevance(PIECES, [0.2, 0.2, 0.2], "rollout"),
        },
    }
    return make_explanation(drawing, relevances=relevances)


def words_of(figure: Figure, word: str) -> list[Any]:
    return [text for text in figure.texts if text.get_text() == word]


def test_rows_are_methods_and_panels_answers(explanation: Explanation, tmp_path: Path, figures: list[Figure]) -> None:
    path = draw_relevance(explanation, tmp_path / "new" / "relevance.svg")
    assert path.read_text().startswith("<?xml")
    told = [text.get_text() for text in figures[-1].texts]
    assert told.count("for “yes”") == 1
    assert told.count("of no answer in particular") == 1, "rollout is drawn once"
    assert told.count("balloons") == 3
    assert [text for text in told if text.startswith(("generic", "rollout"))] == [
        *(relevance_figures.TITLES["generic"], relevance_figures.TITLES["rollout"])
    ]
    panels = figures[-1].axes[:3]
    assert [[text.get_text() for text in axis.texts] for axis in panels] == [["1.00"], [".50"], ["1.00"] * 3]


def test_words_are_coloured_by_their_row_s_maximum(
    explanation: Explanation, tmp_path: Path, figures: list[Figure]
) -> None:
    draw_relevance(explanation, tmp_path / "relevance.png", ["generic"])
    colours = {
        text: [word.get_bbox_patch().get_facecolor() for word in words_of(figures[-1], text)]
        for text in ("Two", "balloons", "in", "it")
    }
    # the pieces of "balloons" add up to 0.4, the most; [SEP] is no word of the sentence
    assert colours["balloons"][0] == PAPER_COLOURS(1.0)
    assert colours["Two"][0] == PAPER_COLOURS(0.1 / 0.4)
    assert colours["it"][0] == PAPER_COLOURS(0.5)
    assert colours["in"] == [PAPER_COLOURS(0.0)] * 2
    assert colours["balloons"][1] == PAPER_COLOURS(0.0), "nothing of the sentence speaks for no"


def test_regions_are_lit_by_relevance(explanation: Explanation, tmp_path: Path) -> None:
    pixels = pixels_of(draw_relevance(explanation, tmp_path / "yes.png", ["generic"], ["yes"]))
    assert colour_share(pixels, (255, 0, 0)) > 0.01
    assert colour_share(pixels, (0, 0, 255)) < 0.001
    assert colour_share(pixels, (120, 120, 171)) > 0.02, "blue is dimmed"
    pixels = pixels_of(draw_relevance(explanation, tmp_path / "no.png", ["generic"], ["no"]))
    assert colour_share(pixels, (0, 0, 255)) > 0.02, "alone in its row, it has the maximum"


@pytest.mark.parametrize("size", [(30, 40), (100, 400), (400, 100)], ids=["drawing", "wide", "high"])
@pytest.mark.parametrize("answers", [1, 3])
def test_nothing_overlaps(size: tuple[int, int], answers: int, tmp_path: Path, figures: list[Figure]) -> None:
    words = ("[CLS]", *("a", "kaleidoscopically", "long", "[UNK]", "$x$") * 8, "[SEP]")
    sentence = "a kaleidoscopically long 風船 " * 8
    regions = make_regions(36, size=size)
    names = ["an answer of many words without an end", "yes", "no"]
    found = {name: make_relevance(np.linspace(0, 1, 42).tolist(), np.linspace(0, 1, 36).tolist()) for name in names}
    chosen = dict(list(found.items())[:answers])
    explanation = make_explanation(
        None,
        regions=regions,
        words=words,
        question=sentence,
        relevances={"generic": chosen, "gradient_attention": chosen, "raw_attention": chosen},
        answers=tuple((name, 0.3) for name in [*names, "four", "five", "six"]),
    )
    draw_relevance(explanation, tmp_path / "relevance.png", title="A title " * 40)
    figure = figures[-1]
    assert overlaps(figure, figure.texts) == []
    assert outside(figure, figure.texts) == []
    bars = figure.axes[3 * answers - (answers - 1)]  # behind the panels
    assert len(bars.patches) == 5, "five answers at most"
    assert overlaps(figure, bars.texts) == []
    assert outside(figure, bars.texts) == []
    assert len(words_of(figure, "picture not at hand")) == 1


def test_bad_calls_are_refused(explanation: Explanation, tmp_path: Path) -> None:
    path = tmp_path / "relevance.png"
    with pytest.raises(ValueError, match="methods must be some of none in the explanation, got \\[\\]"):
        draw_relevance(make_explanation(), path)
    with pytest.raises(ValueError, match="methods must be some of generic, rollout in the explanation, got \\['x'\\]"):
        draw_relevance(explanation, path, ["x"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="answers must be some of yes, no in the explanation, got \\['maybe'\\]"):
        draw_relevance(explanation, path, answers=["maybe"])
    with pytest.raises(ValueError, match="path must end in"):
        draw_relevance(explanation, tmp_path / "relevance.jpg")
    assert not path.exists()
