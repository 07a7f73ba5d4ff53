"""The attention among regions drawn as a graph over their picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke

from lxmert.processing import Regions
from lxmert.visualization.explanation import Explanation
from lxmert.visualization.pictures import (
    ARROW_COLOURS,
    GREY,
    picture_of,
    pixels_of_a_point,
    show_picture,
    text_sizes,
    write_figure,
)
from lxmert.visualization.region_graph import MOST_EDGES, RegionEdge, attention_map, region_edges, which
from lxmert.visualization.region_graph_layout import Curve, bend_arrows, place_beside, spread_nodes
from lxmert.visualization.texts import shortened, style_of, wrapped

GraphKind = Literal["vision", "cross_vision_self"]
TITLES: dict[GraphKind, str] = {
    "vision": "Object-relationship encoder",
    "cross_vision_self": "Cross-modality encoder, among regions",
}
WIDEST, HIGHEST = 7.5, 6.0  # inches of the picture
HEAD, FOOT, MARGIN = 0.4, 0.62, 0.2  # inches above, below and around the picture
KEY, KEY_LINE = 2.1, 0.165  # inches: width of the list of names, height of a line
FEW = 14  # regions that are named in the picture; of more a list names them
NODE = 4.2  # points, half a node's width; of a node with a number
SMALL_NODE = 2.4  # of one without
LONGEST_LABEL = 26
PALE = 0.45  # share of white over the picture


def draw_region_graph(
    explanation: Explanation,
    path: str | Path,
    kind: GraphKind = "vision",
    layer: int | None = None,
    head: int | None = None,
    most: int = MOST_EDGES,
    per_region: int | None = None,
    above: float = 0.0,
    title: str | None = None,
) -> Path:
    """Draw the attention among regions as arrows over the picture, a PNG, SVG or PDF by the path's ending.

    An arrow goes from the region that looks to the one that is looked at, wider and darker the stronger it is. Only
    regions with an arrow get a node and a label: `Regions.describe`, or, where more than 14 have one, a number that a
    list at the side explains. A picture that is absent or cannot be read is drawn as an empty one.

    Args:
        explanation: of one picture.
        path: of the drawing; its folder is made, and it appears when it is whole.
        kind: which attention among regions.
        layer: counted from 0; None for the mean over all layers.
        head: counted from 0; None for the mean over all heads.
        most: how many arrows, the strongest of all.
        per_region: how many may leave a region; None for any number.
        above: only attention above this weight.
        title: above all; by default it says what is drawn.

    Returns:
        The path.

    Raises:
        ValueError: a kind, layer or head that there is not, a number of arrows below 1, no attention above `above`, a
            picture of another size than its regions, or a path with another ending.
    """
    if kind not in TITLES:
        raise ValueError(f"kind must be one of {', '.join(TITLES)}, got {kind!r}.")
    attention = attention_map(explanation.record, kind, layer, head)
    edges = region_edges(attention, most, per_region, above)
    if not edges:
        raise ValueError(
            f"No region's attention on another is above {above}; the most is {_most_beside(attention):.3g}."
        )
    regions = explanation.regions
    nodes = sorted({row for edge in edges for row in edge[:2]})
    listed = len(nodes) > FEW
    labels = {row: shortened(regions.describe(row) or f"region {row}", LONGEST_LABEL) for row in nodes}
    layers, _, heads = explanation.record.maps[kind].shape[:3]
    heading = title or f"{TITLES[kind]}, {which('layer', layer, layers)}, {which('head', head, heads)}"
    style = style_of([heading, *labels.values()])
    figure, axis = _page(regions, len(nodes) if listed else 0)
    picture, note = picture_of(explanation)
    show_picture(axis, np.rint(picture + PALE * (255.0 - picture)).astype(np.uint8), regions.image_size)
    _draw_boxes(axis, regions, nodes)
    points = spread_nodes(regions, nodes)
    curves = bend_arrows(edges, nodes, points, regions.image_size)
    _draw_edges(axis, edges, curves, nodes, points)
    _draw_nodes(axis, nodes, points, listed)
    if listed:
        _draw_key(figure, nodes, labels, style)
    else:
        _draw_labels(axis, regions, points, curves, list(labels.values()), style)
    width, height = figure.get_size_inches()
    heading = wrapped(heading, int(10 * (width - MARGIN)), 2)
    figure.text(MARGIN / width, 1 - 0.1 / height, heading, fontsize=10.5, va="top", **style)
    if note:
        figure.text(1 - MARGIN / width, 1 - 0.1 / height, note, fontsize=8, va="top", ha="right", color=GREY)
    _draw_scale(figure, edges)
    return write_figure(figure, path)


def _most_beside(attention: np.ndarray) -> float:
    beside = attention[~np.eye(len(attention), dtype=bool)]
    return float(beside.max()) if beside.size else 0.0


def _page(regions: Regions, listed: int) -> tuple[Figure, Axes]:
    """A figure in the picture's shape, with room for a list of so many names."""
    height, width = regions.image_size
    scale = min(WIDEST / width, HIGHEST / height)
    wide, high = max(width * scale, 3.0), max(height * scale, 1.2)
    high = max(high, KEY_LINE * listed)
    page = 2 * MARGIN + wide + (KEY if listed else 0), HEAD + high + FOOT
    figure = Figure(figsize=page)
    axis = figure.add_axes((MARGIN / page[0], FOOT / page[1], wide / page[0], high / page[1]))
    axis.set_anchor("NW")
    return figure, axis


def _draw_boxes(axis: Axes, regions: Regions, rows: Sequence[int]) -> None:
    for x1, y1, x2, y2 in regions.boxes[list(rows)].tolist():
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=GREY, linewidth=0.6, alpha=0.55)
        axis.add_patch(box)


def _draw_edges(
    axis: Axes, edges: Sequence[RegionEdge], curves: Sequence[Curve], nodes: Sequence[int], points: np.ndarray
) -> None:
    """The strongest above the others."""
    places = dict(zip(nodes, points, strict=True))
    strongest, weakest = edges[0].weight, edges[-1].weight
    for rank, (edge, curve) in enumerate(zip(edges, curves, strict=True)):
        share = (edge.weight - weakest) / (strongest - weakest) if strongest > weakest else 1.0
        line = 0.8 + 1.7 * share
        axis.add_patch(
            FancyArrowPatch(
                places[edge.source],
                places[edge.target],
                connectionstyle=f"arc3,rad={curve.bend}",
                arrowstyle=f"-|>,head_length={3.4 + 1.8 * share},head_width={1.6 + 0.9 * share}",
                mutation_scale=1,
                shrinkA=NODE,
                shrinkB=NODE + 0.5,
                color=ARROW_COLOURS(edge.weight / strongest),
                linewidth=line,
                capstyle="butt",
                joinstyle="miter",
                clip_on=False,
                path_effects=[withStroke(linewidth=line + 1.2, foreground="#ffffffb0")],
                zorder=4 - rank / len(edges),
            )
        )


def _draw_nodes(axis: Axes, rows: Sequence[int], points: np.ndarray, numbered: bool) -> None:
    size = (2 * (NODE if numbered else SMALL_NODE)) ** 2
    axis.scatter(points[:, 0], points[:, 1], s=size, color="white", edgecolor="black", lw=0.8, zorder=5)
    if numbered:
        for row, (x, y) in zip(rows, points, strict=True):
            axis.text(x, y, str(row), fontsize=5.5, ha="center", va="center_baseline", zorder=6)


def _draw_labels(
    axis: Axes,
    regions: Regions,
    points: np.ndarray,
    curves: Sequence[Curve],
    labels: Sequence[str],
    style: dict[str, Any],
) -> None:
    look = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
    texts = [axis.text(0, 0, label, fontsize=7, ha="left", va="top", bbox=look, zorder=7, **style) for label in labels]
    sizes, offset = text_sizes(axis, texts, padding=0.6)
    radius = pixels_of_a_point(axis) * (SMALL_NODE + 1)
    for text, place in zip(texts, place_beside(points, radius, sizes, curves, regions.image_size), strict=True):
        text.set_position(place + offset)


def _draw_key(figure: Figure, rows: Sequence[int], labels: dict[int, str], style: dict[str, Any]) -> None:
    width, height = figure.get_size_inches()
    for line, row in enumerate(rows):
        y = 1 - (HEAD + KEY_LINE * (line + 0.5)) / height
        figure.text(1 - (KEY - 0.1) / width, y, str(row), fontsize=7, ha="right", va="center", color=GREY)
        figure.text(1 - (KEY - 0.17) / width, y, labels[row], fontsize=7, va="center", **style)


def _draw_scale(figure: Figure, edges: Sequence[RegionEdge]) -> None:
    width, height = figure.get_size_inches()
    scale = ScalarMappable(cmap=ARROW_COLOURS)
    scale.set_clim(0, edges[0].weight)
    axis = figure.add_axes((MARGIN / width, 0.38 / height, 1.8 / width, 0.09 / height))
    bar = figure.colorbar(scale, cax=axis, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.locator = bar.ax.xaxis.get_major_locator()
    told = "arrow: the strongest" if len(edges) == 1 else f"arrows: the {len(edges)} strongest"
    told = f"attention of a region on another; {told}, from the region that looks to the one looked at"
    room = int(18 * (width - 2.3))
    text = wrapped(told, room, 3)
    figure.text((MARGIN + 2.0) / width, 0.43 / height, text, fontsize=7.5, va="center", color=GREY)
