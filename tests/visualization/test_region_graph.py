"""The attention among regions as a graph: edges by hand, where things go, and the drawing."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from lxmert.visualization import region_graph_figures
from lxmert.visualization.region_graph import RegionEdge, attention_map, region_edges, which
from lxmert.visualization.region_graph_figures import draw_region_graph
from lxmert.visualization.region_graph_layout import bend_arrows, place_beside, spread_nodes
from tests.visualization.made_explanations import make_explanation, make_record, make_regions, outside, overlaps

ATTENTION = np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.05, 0.05, 0.9]])


@pytest.fixture
def figures(figures_of: Callable[[ModuleType], list[Figure]]) -> list[Figure]:
    """The figures that are drawn."""
    return figures_of(region_graph_figures)


def test_edges_are_the_strongest_without_a_region_itself() -> None:
    edges = region_edges(ATTENTION, most=3)
    assert edges == [RegionEdge(0, 1, 0.6), RegionEdge(1, 0, 0.5), RegionEdge(0, 2, 0.3)]
    assert [edge[:2] for edge in region_edges(ATTENTION, None, per_region=1)] == [(0, 1), (1, 0), (2, 0)]
    assert [edge[:2] for edge in region_edges(ATTENTION, None, above=0.3)] == [(0, 1), (1, 0)]
    assert len(region_edges(ATTENTION, None)) == 6
    assert region_edges(np.ones((1, 1))) == []
    with pytest.raises(ValueError, match=r"attention must be square, .* got \(2, 3\)"):
        region_edges(np.ones((2, 3)))
    with pytest.raises(ValueError, match="per_region must be at least 1, or None for no limit, got 0"):
        region_edges(ATTENTION, per_region=0)


def test_a_map_is_a_head_or_a_mean() -> None:
    array = np.stack([[ATTENTION, np.eye(3)], [np.full((3, 3), 1 / 3), np.eye(3)[::-1]]])  # (layers, heads, 3, 3)
    record = make_record({"vision": array})
    np.testing.assert_allclose(attention_map(record, "vision", 0, 0), ATTENTION, rtol=1e-6)
    np.testing.assert_allclose(attention_map(record, "vision", -1, 1), np.eye(3)[::-1])
    np.testing.assert_allclose(attention_map(record, "vision", 0), (ATTENTION + np.eye(3)) / 2, rtol=1e-6)
    np.testing.assert_allclose(attention_map(record, "vision"), array.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(attention_map(record, "vision", head=1), array[:, 1].mean(0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"layer must lie in -2\.\.1 for kind 'vision', or be None, got 2"):
        attention_map(record, "vision", 2)
    with pytest.raises(ValueError, match="kind 'language' is not in the record; it has vision"):
        attention_map(record, "language")
    with pytest.raises(ValueError, match="kind 'sound' is no kind of attention"):
        attention_map(record, "sound")  # type: ignore[arg-type]
    assert which("head", -1, 4) == "head 3"


def test_nodes_of_one_place_are_pushed_apart() -> None:
    regions = make_regions(36)
    boxes = regions.boxes.copy()
    boxes[:8] = [10, 8, 30, 22]  # eight with one centre
    object.__setattr__(regions, "boxes", boxes)
    points = spread_nodes(regions, range(36))
    assert points.shape == (36, 2)
    distances = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 99 * np.eye(36)
    assert distances.min() > 0.9 * 0.045 * 50
    assert (points >= 0).all()
    assert (points <= [40, 30]).all()
    alone = spread_nodes(make_regions(3), [1])
    np.testing.assert_allclose(alone, [[28, 18]], atol=0.01)


def test_arrows_bend_away_from_nodes_and_the_picture_s_edge() -> None:
    points = np.array([[0.0, 50.0], [100.0, 50.0], [50.0, 57.0]])
    through = bend_arrows([RegionEdge(4, 5, 0.9)], [4, 5, 6], points, (100, 100))[0]
    # the node lies below the straight line, where a bend of 0.14 would go (y points down)
    assert through.bend < 0
    assert through.points[:, 1].max() <= 50
    edge = bend_arrows([RegionEdge(0, 1, 0.9)], [0, 1], np.array([[0.0, 99.0], [100.0, 99.0]]), (100, 100))[0]
    assert edge.points[:, 1].max() <= 99, "at the lower edge it bends upwards"
    there, back = bend_arrows([RegionEdge(0, 1, 0.9), RegionEdge(1, 0, 0.8)], [0, 1], points[:2], (100, 100))
    assert np.abs(there.points - back.points[::-1]).max() > 5, "two arrows between the same regions stay apart"


def test_labels_keep_off_nodes_and_each_other() -> None:
    points = np.array([[50.0, 50.0], [54.0, 50.0], [2.0, 2.0]])
    sizes = np.array([[30.0, 6.0], [30.0, 6.0], [30.0, 6.0]])
    places = place_beside(points, 1.0, sizes, [], (100, 100))
    boxes = np.concatenate([places, places + sizes], axis=1)
    for i in range(3):
        for x, y in points:
            assert not (boxes[i, 0] < x < boxes[i, 2] and boxes[i, 1] < y < boxes[i, 3])
        for j in range(i):
            over = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            assert over.min() <= 1e-9
    assert (places >= 0).all()


def test_the_drawing_has_the_edges(drawing: Image.Image, tmp_path: Path, figures: list[Figure]) -> None:
    explanation = make_explanation(drawing, {"vision": np.stack([[ATTENTION, np.eye(3)]])})
    path = draw_region_graph(explanation, tmp_path / "new" / "graph.svg", head=0, most=2)
    assert path.read_text().startswith("<?xml")
    axis = figures[0].axes[0]
    arrows = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 2
    centres = {0: (7, 8), 1: (28, 18)}
    for arrow, (source, target) in zip(arrows, [(0, 1), (1, 0)], strict=True):
        np.testing.assert_allclose(arrow._posA_posB, [centres[source], centres[target]], atol=0.1)
    assert arrows[0].get_linewidth() > arrows[1].get_linewidth()
    assert arrows[0].get_zorder() > arrows[1].get_zorder()
    assert [text.get_text() for text in axis.texts] == ["balloon", "balloon"]
    assert figures[0].texts[0].get_text() == "Object-relationship encoder, layer 0, head 0"
    draw_region_graph(explanation, tmp_path / "graph.pdf", kind="cross_vision_self", title="mine")
    assert figures[1].texts[0].get_text() == "mine"


@pytest.mark.parametrize("count", [10, 36])
def test_many_regions_stay_readable(count: int, tmp_path: Path, figures: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    attention = generator.dirichlet(np.full(count, 0.1), (1, 1, count))
    regions = make_regions(count, size=(480, 640))
    explanation = make_explanation(None, {"vision": attention}, regions)
    draw_region_graph(explanation, tmp_path / "graph.png", most=30)
    figure = figures[0]
    texts = [*figure.axes[0].texts, *figure.texts]
    assert overlaps(figure, texts) == []
    assert outside(figure, texts) == []
    named = {row for edge in region_edges(attention[0, 0], 30) for row in edge[:2]}
    if count == 36:
        assert [text.get_text() for text in figure.axes[0].texts] == [str(row) for row in sorted(named)]
        assert sum(text.get_text() == "balloon" for text in figure.texts) == len(named - {2})
    assert "picture not at hand" in [text.get_text() for text in figure.texts]


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    explanation = make_explanation()
    path = tmp_path / "graph.png"
    with pytest.raises(ValueError, match=r"No region's attention on another is above 0\.5; the most is 0\.333"):
        draw_region_graph(explanation, path, above=0.5)
    with pytest.raises(ValueError, match="most must be at least 1"):
        draw_region_graph(explanation, path, most=0)
    with pytest.raises(ValueError, match=r"path must end in \.png, \.svg or \.pdf, got .*graph\.gif"):
        draw_region_graph(explanation, tmp_path / "graph.gif")
    with pytest.raises(ValueError, match="No region's attention on another"):
        draw_region_graph(make_explanation(regions=make_regions(1)), path)
    with pytest.raises(ValueError, match="kind must be one of vision, cross_vision_self, got 'language'"):
        draw_region_graph(explanation, path, kind="language")  # type: ignore[arg-type]
    assert not path.exists()
