"""A page of answered questions: images, regions by attention, bars of the answers."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lxmert.processing.images import load_image
from lxmert.visualization.answers import AnsweredQuestion

RIGHT, WRONG, OTHER = "#2a7f4f", "#b5382c", "#b8bec6"
ATTENTION_COLOURS = colormaps["plasma"]


def draw_answers(answered: Sequence[AnsweredQuestion], path: str | Path, title: str, columns: int = 2) -> Path:
    """Draw answered questions as a PNG, SVG or PDF, by the path's ending.

    Each shows its image, every region's box coloured and labelled by the attention on it, and bars of the answers:
    green where the truth is, red where a wrong answer won.

    Args:
        answered: what to draw.
        path: of the picture; its folder is made.
        title: above all.
        columns: pairs of image and bars side by side.

    Returns:
        The path.

    Raises:
        ValueError: nothing to draw.
    """
    if not answered:
        raise ValueError("answered is empty: there is nothing to draw.")
    rows = -(-len(answered) // columns)
    figure = Figure(figsize=(6.4 * columns, 2.7 * rows + 1.0), layout="constrained")
    figure.suptitle(title, fontsize=14)
    axes = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1.0, 1.2] * columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, item in enumerate(answered):
        row, column = divmod(i, columns)
        _draw_image(axes[row, 2 * column], item)
        _draw_bars(axes[row, 2 * column + 1], item)
    scale = ScalarMappable(cmap=ATTENTION_COLOURS)
    scale.set_clim(0, 1)
    bar = figure.colorbar(scale, ax=axes, orientation="horizontal", fraction=0.03, shrink=0.5, pad=0.01)
    bar.set_label("attention of [CLS] on a region (last cross-modality layer, mean of heads)", fontsize=9)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _draw_image(axis: Axes, item: AnsweredQuestion) -> None:
    height, width = item.regions.image_size
    axis.imshow(load_image(item.image), extent=(0, width, height, 0), interpolation="nearest")
    # The strongest region is drawn last, above the others.
    for i in item.region_weights.argsort():
        x1, y1, x2, y2 = item.regions.boxes[i]
        weight = float(item.region_weights[i])
        colour = ATTENTION_COLOURS(weight)
        axis.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.5 + 2.5 * weight)
        )
        whole = (x2 - x1) * (y2 - y1) >= 0.98 * width * height
        axis.text(
            x1 + 0.01 * width,
            (y2 - 0.01 * height) if whole else (y1 + 0.01 * height),  # apart from a region in the upper left corner
            f"{weight:.2f}",
            fontsize=7,
            color="white" if weight < 0.6 else "black",
            verticalalignment="bottom" if whole else "top",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
        )
    axis.set_xlim(-0.02 * width, 1.02 * width)
    axis.set_ylim(1.02 * height, -0.02 * height)


def _draw_bars(axis: Axes, item: AnsweredQuestion) -> None:
    axis.set_axis_on()
    names = [answer for answer, _ in item.answers]
    values = [probability for _, probability in item.answers]
    colours = [
        RIGHT if name == item.truth or (item.truth is None and i == 0) else WRONG if i == 0 else OTHER
        for i, name in enumerate(names)
    ]
    axis.barh(range(len(names)), values, color=colours, height=0.65)
    for i, value in enumerate(values):
        inside = value > 0.5
        x, side, colour = (value - 0.01, "right", "white") if inside else (value + 0.01, "left", "black")
        axis.text(x, i, f"{value:.1%}", va="center", ha=side, fontsize=8, color=colour)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    truth = "" if item.truth is None else f"\ntruth: {item.truth}"
    axis.set_title(textwrap.fill(item.question, 34) + truth, fontsize=9.5, loc="left")
