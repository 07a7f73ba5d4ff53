"""A page of answered questions: images, regions by attention, bars of the answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lxmert.processing import Regions
from lxmert.visualization.answers import AnsweredQuestion
from lxmert.visualization.pictures import GREY, open_picture, write_figure
from lxmert.visualization.texts import shortened, style_of, wrapped

RIGHT, WRONG, OTHER, UNJUDGED = "#2a7f4f", "#b5382c", "#b8bec6", "#1f5fa8"
MEANINGS = {
    RIGHT: "right answer",
    WRONG: "wrong answer of the model",
    UNJUDGED: "answer of the model",
    OTHER: "other answers",
}
ATTENTION_COLOURS = colormaps["plasma"]
PLAIN_REGION = "#E69F00"
FEW_REGIONS = 10  # all of them are labelled; of more only the strongest
LABELLED = 4
FAINT = 0.4  # opacity of the others' boxes
GAP = 0.05  # between the images of a pair, in heights
QUESTION_WIDTH, QUESTION_LINES = 36, 4
LONGEST_ANSWER = 26


def draw_answers(answered: Sequence[AnsweredQuestion], path: str | Path, title: str, columns: int = 2) -> Path:
    """Draw answered questions as a PNG, SVG or PDF, by the path's ending.

    Each shows its image or both images of a pair, every region's box coloured by the attention on it, and bars of the
    answers: green where the truth is, red where a wrong answer won. The scale of attention ends at the largest one on
    the page. A picture that is absent or cannot be read is drawn as an empty one.

    Args:
        answered: what to draw.
        path: of the picture; its folder is made, and it appears when it is whole.
        title: above all.
        columns: pairs of image and bars side by side.

    Returns:
        The path.

    Raises:
        ValueError: nothing to draw.
    """
    if not answered:
        raise ValueError("answered is empty: there is nothing to draw.")
    columns = min(columns, len(answered))
    rows = -(-len(answered) // columns)
    widest = 1.4 if max(len(item.views) for item in answered) == 1 else 2.6  # images beside bars
    texts = [title] + [text for item in answered for text in (item.question, item.caption, item.truth or "")]
    style = style_of(texts + [answer for item in answered for answer, _ in item.answers])
    width = (3.1 + 2.7 * widest) * columns
    figure = Figure(figsize=(width, 2.9 * rows + 1.2), layout="constrained")
    figure.suptitle(wrapped(title, int(7.5 * width), 2), fontsize=14, **style)
    axes = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[widest, 1.15] * columns)
    for axis in axes.flat:
        axis.set_axis_off()
    weights = [weight for item in answered for _, _, weight in item.views if weight is not None]
    strongest = max((float(weight.max()) for weight in weights), default=1.0)
    for i, item in enumerate(answered):
        row, column = divmod(i, columns)
        _draw_images(axes[row, 2 * column], item, strongest, style)
        _draw_bars(axes[row, 2 * column + 1], item, style)
    _explain(figure, axes, answered, strongest if weights else None)
    return write_figure(figure, path, resolution=110)


def _explain(figure: Figure, axes: Any, answered: Sequence[AnsweredQuestion], strongest: float | None) -> None:
    """What the colours mean, below all."""
    used = {colour for item in answered for colour in _bar_colours(item)}
    handles = [Patch(color=colour, label=meaning) for colour, meaning in MEANINGS.items() if colour in used]
    if strongest is None:
        handles.append(Patch(facecolor="none", edgecolor=PLAIN_REGION, label="regions"))
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), fontsize=9, frameon=False)
    if strongest is not None:
        scale = ScalarMappable(cmap=ATTENTION_COLOURS)
        scale.set_clim(0, strongest)
        bar = figure.colorbar(scale, ax=axes, orientation="horizontal", fraction=0.03, shrink=0.5, pad=0.01)
        bar.set_label("attention of [CLS] on a region (last cross-modality layer, mean of heads)", fontsize=9)


def _draw_images(axis: Axes, item: AnsweredQuestion, strongest: float, style: dict[str, Any]) -> None:
    """The image, or both of a pair side by side; a unit is an image's height."""
    left, notes = 0.0, []
    for image, regions, weights in item.views:
        height, width = regions.image_size
        picture, note = open_picture(image, regions.image_size)
        notes += [note] if note else []
        axis.imshow(
            picture,
            extent=(left, left + width / height, 1, 0),
            interpolation="nearest" if max(height, width) < 200 else "antialiased",
        )
        _draw_regions(axis, regions, weights, left, strongest)
        left += width / height + GAP
    right = left - GAP
    axis.set_xlim(-0.02 * right, 1.02 * right)
    axis.set_ylim(1.02, -0.02)
    caption = ", ".join(dict.fromkeys([item.caption, *notes] if item.caption else notes))
    if caption:
        axis.text(
            0.5 * right,
            1.04,
            wrapped(caption, 48 * len(item.views), 2),
            fontsize=7,
            color=GREY,
            ha="center",
            va="top",
            **style,
        )


def _draw_regions(axis: Axes, regions: Regions, weights: np.ndarray | None, left: float, strongest: float) -> None:
    height, width = regions.image_size
    many = len(regions) > FEW_REGIONS
    # The strongest region is drawn last, above the others.
    order = range(len(regions)) if weights is None else weights.argsort()
    for place, i in enumerate(order):
        x1, y1, x2, y2 = regions.boxes[i] / height + np.array([left, 0, left, 0])
        share = 0.0 if weights is None else float(weights[i]) / strongest
        labelled = weights is not None and (not many or place >= len(regions) - LABELLED)
        colour = PLAIN_REGION if weights is None else ATTENTION_COLOURS(share)
        axis.add_patch(
            Rectangle(
                (x1, y1),
                x2 - x1,
                y2 - y1,
                fill=False,
                edgecolor=colour,
                linewidth=(0.8 if many else 1.5) + 2.5 * share,
                alpha=FAINT if many and weights is not None and not labelled else 1,
            )
        )
        if weights is None or not labelled:
            continue
        whole = (x2 - x1) * (y2 - y1) >= 0.98 * width / height
        axis.text(
            x1 + 0.01,
            (y2 - 0.01) if whole else (y1 + 0.01),  # apart from a region in the upper left corner
            f"{weights[i]:.2f}",
            fontsize=7,
            color="white" if share < 0.6 else "black",
            verticalalignment="bottom" if whole else "top",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
        )


def _bar_colours(item: AnsweredQuestion) -> list[str]:
    won = UNJUDGED if item.truth is None else WRONG
    return [RIGHT if name == item.truth else won if i == 0 else OTHER for i, (name, _) in enumerate(item.answers)]


def _draw_bars(axis: Axes, item: AnsweredQuestion, style: dict[str, Any]) -> None:
    axis.set_axis_on()
    names = [shortened(answer, LONGEST_ANSWER) for answer, _ in item.answers]
    values = [probability for _, probability in item.answers]
    axis.barh(range(len(names)), [value or 0 for value in values], color=_bar_colours(item), height=0.65)
    for i, value in enumerate(values):
        if value is None:
            axis.text(0.01, i, "probability not known", va="center", ha="left", fontsize=8, color=GREY)
            continue
        inside = value > 0.5
        x, side, colour = (value - 0.01, "right", "white") if inside else (value + 0.01, "left", "black")
        axis.text(x, i, f"{value:.1%}", va="center", ha=side, fontsize=8, color=colour)
    axis.set_yticks(range(len(names)), names, fontsize=9, **style)
    axis.set_ylim(max(len(names), 5) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    truth = "" if item.truth is None else f"\ntruth: {shortened(item.truth, QUESTION_WIDTH)}"
    question = wrapped(item.question, QUESTION_WIDTH, QUESTION_LINES)
    axis.set_title(question + truth, fontsize=9.5, loc="left", **style)
