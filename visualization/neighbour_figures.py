"""Drawings of heads that look at the next or the previous word: two encoders side by side, as in the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lxmert.visualization.neighbour_heads import (
    DIRECTIONS,
    Direction,
    LanguageAttention,
    NeighbourHeads,
    score_heads,
)
from lxmert.visualization.pictures import GREY, PAPER_COLOURS, write_figure
from lxmert.visualization.texts import shortened, style_of, wrapped

MAP, STRIP = 2.55, 2.7  # inches, sides of a map and width of a strip
BEST, OTHER = "#b5367a", "#b8bec6"
LONGEST_WORD, MOST_WORDS = 12, 40


def draw_neighbour_heads(
    encoders: Sequence[LanguageAttention],
    path: str | Path,
    sentence: int = 0,
    title: str = "Heads that look at the next and at the previous word",
) -> Path:
    """Draw the best head of each encoder for each direction as a PNG, SVG or PDF, by the path's ending.

    A row for each direction: for each encoder the map of its best head on one sentence, words that look down the side
    and words that are looked at along the top; at the end a strip with the scores of all heads by layer, the best ones
    marked, and what attention that is the same everywhere would score. Pictures count layers and heads from 1.

    Args:
        encoders: one or more, that have seen the same sentences.
        path: of the picture; its folder is made, and it appears when it is whole.
        sentence: number of the one whose maps are drawn.
        title: above all.

    Returns:
        The path.

    Raises:
        ValueError: nothing to draw, a sentence that an encoder does not have or that is too long for a map, or a path
            with another ending.
    """
    if not encoders:
        raise ValueError("encoders is empty: there is nothing to draw.")
    for encoder in encoders:
        count = len(encoder.sentences)
        if not 0 <= sentence < count:
            raise ValueError(f"sentence {sentence} is not among the {count} of {encoder.name}.")
        if len(encoder.sentences[sentence]) > MOST_WORDS:
            raise ValueError(f"A map shows at most {MOST_WORDS} words: choose a shorter sentence than {sentence}.")
    scored = [score_heads(encoder) for encoder in encoders]
    style = style_of([title, *(word for encoder in encoders for word in (encoder.name, *encoder.sentences[sentence]))])
    width, height = (MAP + 0.5) * len(encoders) + STRIP + 0.8, 2 * (MAP + 0.75) + 0.8
    spacing = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.04)
    figure = Figure(figsize=(width, height), layout=spacing)
    figure.suptitle(wrapped(title, int(8.5 * width), 2), fontsize=12, **style)
    axes = figure.subplots(2, len(encoders) + 1, squeeze=False, width_ratios=[MAP] * len(encoders) + [STRIP])
    image: Any = None
    for row, direction in zip(axes, DIRECTIONS, strict=True):
        for axis, encoder, heads in zip(row, encoders, scored, strict=False):
            image = _draw_map(axis, encoder, heads, direction, sentence, style)
        _draw_strip(row[-1], scored, direction, style)
    bar = figure.colorbar(image, ax=axes[:, :-1], orientation="horizontal", shrink=0.45, aspect=30, pad=0.015)
    bar.set_label("attention", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)
    _explain(axes[-1, -1])
    return write_figure(figure, path)


def _explain(axis: Axes) -> None:
    """What the marks mean, below the last strip, beside the colours."""
    handles = [
        Line2D([], [], color=BEST, marker="D", markersize=5, linestyle="none", label="best head"),
        Line2D([], [], color=OTHER, marker="o", markersize=4.5, linestyle="none", label="other heads"),
        Line2D([], [], color=GREY, linewidth=1, linestyle="--", label="uniform attention"),
    ]
    place = {"loc": "upper right", "bbox_to_anchor": (1.03, -0.2), "ncols": 3, "columnspacing": 1, "handletextpad": 0.3}
    axis.legend(handles=handles, fontsize=7.5, frameon=False, **place).set_in_layout(False)


def _draw_map(
    axis: Axes,
    encoder: LanguageAttention,
    heads: NeighbourHeads,
    direction: Direction,
    sentence: int,
    style: dict[str, Any],
) -> Any:
    best = heads.best(direction)
    words = [shortened(word, LONGEST_WORD) for word in encoder.sentences[sentence]]
    image = axis.imshow(encoder.maps[sentence][best.layer, best.head], cmap=PAPER_COLOURS, vmin=0, vmax=1)
    size = float(np.clip(88 / len(words), 3.5, 8))
    axis.set_xticks(range(len(words)), words, rotation=90, fontsize=size, **style)
    axis.set_yticks(range(len(words)), words, fontsize=size, **style)
    axis.tick_params(length=0, pad=2, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.spines[:].set_color("#cccccc")
    axis.set_xlabel(
        f"{heads.name}, {heads.layers[best.layer]}, head {best.head}\n{direction} word: {best.score:.2f}",
        fontsize=9,
        labelpad=5,
        **style,
    )
    return image


def _draw_strip(axis: Axes, scored: Sequence[NeighbourHeads], direction: Direction, style: dict[str, Any]) -> None:
    """Scores of all heads by layer, the encoders below each other."""
    top = 0.0
    ticks: list[float] = []
    names: list[str] = []
    for heads in scored:
        scores, best = heads.scores[direction], heads.best(direction)
        rows = top + np.arange(len(scores))
        axis.scatter(
            scores, rows[:, None].repeat(scores.shape[1], axis=1), s=22, color=OTHER, edgecolor="white", lw=0.5
        )
        axis.scatter([best.score], [top + best.layer], s=34, color=BEST, marker="D", zorder=3, clip_on=False)
        axis.vlines(heads.uniform[direction], top - 0.4, rows[-1] + 0.4, color=GREY, linestyle="--", linewidth=1)
        axis.text(1.0, top - 0.75, heads.name, fontsize=8.5, ha="right", va="center", fontweight="bold", **style)
        ticks += rows.tolist()
        names += heads.layers
        top += len(scores) + 1.3
    axis.set_yticks(ticks, names, fontsize=7.5, **style)
    axis.set_ylim(top - 1.3 - 0.3, -1.2)
    axis.set_xlim(0, 1)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=7.5)
    axis.set_xlabel(f"mean attention on the {direction} word", fontsize=8.5)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axis.set_axisbelow(True)
