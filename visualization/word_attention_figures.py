"""What each word of a sentence looks at, as a grid of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from lxmert.visualization.explanation import Explanation
from lxmert.visualization.grounding import FUNCTION_WORDS
from lxmert.visualization.pictures import (
    GREY,
    WEIGHT_COLOURS,
    draw_weights,
    lit,
    picture_of,
    show_picture,
    write_figure,
)
from lxmert.visualization.texts import shortened, style_of, wrapped
from lxmert.visualization.word_attention import attention_of_words, spread_of, told_of
from lxmert.visualization.word_classes import WholeWord

WIDTH, WIDE, HIGHEST = 7.6, 2.0, 2.6  # inches of the page; width by height of a wide picture; inches of a panel
MARGIN, GAP, NAME, LINE, FOOT = 0.15, 0.14, 0.24, 0.2, 0.5  # inches
MOST_WORDS, NUMBERED = 12, 3
LETTERS = 11  # of a word in an inch


def draw_word_attention(
    explanation: Explanation,
    path: str | Path,
    words: Sequence[int] | None = None,
    layer: int | None = -1,
    head: int | None = None,
    title: str | None = None,
) -> Path:
    """Draw what words look at in the cross-modality encoder as a PNG, SVG or PDF, by the path's ending.

    First the picture, then once for each word: regions are the lighter and their outlines the brighter the more
    attention the word has on them; the three that it looks at most have their attention written at them. All words
    share one scale, which ends at the largest attention. Beside the word stands how spread its attention is, 0 % on one
    region to 100 % on all alike. A picture that is absent or cannot be read is drawn as an empty one.

    Args:
        explanation: of one picture.
        path: of the drawing; its folder is made, and it appears when it is whole.
        words: positions of the words to draw among those of `attention_of_words`; by default up to 12 that are not
            function words, or of a sentence without such the first 12.
        layer: counted from 0, from the end if negative; None for the mean over all layers.
        head: likewise.
        title: above all, by default the sentence.

    Returns:
        The path.

    Raises:
        ValueError: no words to draw, positions that the sentence does not have, no such layer or head, a picture of
            another size than its regions, or a path with another ending.
    """
    found, attention = attention_of_words(explanation.record, layer, head)
    chosen = _content_words(found) if words is None else list(words)
    if not chosen or any(not 0 <= word < len(found) for word in chosen):
        raise ValueError(f"words must name positions 0 to {len(found) - 1} of {explanation.question!r}, got {chosen}.")
    regions = explanation.regions
    strongest = float(attention[chosen].max())
    heading = wrapped(title or explanation.question, int(9.5 * WIDTH), 3)
    style = style_of([heading, *(word.text for word in found)])
    lines = heading.count("\n") + 1
    layout = _Grid(regions.image_size, len(chosen) + 1, MARGIN + LINE * (lines + 1) + 0.1)
    figure = Figure(figsize=(WIDTH, layout.page))
    x, y = MARGIN / WIDTH, 1 - MARGIN / layout.page
    figure.text(x, y, heading, fontsize=11, va="top", **style)
    told = f"attention of words on regions, {told_of(explanation.record, layer, head)}"
    figure.text(x, y - (LINE * lines + 0.03) / layout.page, told, fontsize=8, va="top", color=GREY)
    picture, note = picture_of(explanation)
    show_picture(layout.add(figure, 0), picture, regions.image_size)
    layout.write(figure, 0, note or "picture", fontsize=8.5, color=GREY)
    spreads = spread_of(attention)
    for place, word in enumerate(chosen, 1):
        axis = layout.add(figure, place)
        weights = attention[word]
        show_picture(axis, lit(picture, regions, np.sqrt(weights / strongest)), regions.image_size)
        draw_weights(axis, regions, weights, strongest, NUMBERED)
        name = shortened(found[word].text, int(LETTERS * layout.panel[0] * 0.6))
        layout.write(figure, place, name, fontsize=10, **style)
        layout.write(figure, place, f"spread {spreads[word]:.0%}", right=True, fontsize=7.5, color=GREY)
    _draw_scale(figure, strongest)
    return write_figure(figure, path)


def _content_words(words: Sequence[WholeWord]) -> list[int]:
    """Positions of words that name something, of all where none does; of too many the first."""
    named = [i for i, word in enumerate(words) if word.text.lower() not in FUNCTION_WORDS and word.text.isalpha()]
    return (named or list(range(len(words))))[:MOST_WORDS]


class _Grid:
    """Where panels stand, in inches.

    Args:
        size: (height, width) of the picture in pixels.
        count: of panels.
        head: inches above them.
    """

    def __init__(self, size: tuple[int, int], count: int, head: float):
        ratio = size[1] / size[0]
        self.columns = 2 if ratio > WIDE else min(4, max(count, 2))
        width = (WIDTH - 2 * MARGIN - GAP * (self.columns - 1)) / self.columns
        self.panel = (width, min(width / ratio, HIGHEST))
        self.head = head
        rows = -(-count // self.columns)
        self.page = head + rows * (NAME + self.panel[1] + 0.06) + FOOT

    def _corner(self, number: int) -> tuple[float, float]:
        """Of a panel, the left and the upper edge of its picture, from the page's lower left corner."""
        row, column = divmod(number, self.columns)
        left = MARGIN + column * (self.panel[0] + GAP)
        return left, self.page - self.head - row * (NAME + self.panel[1] + 0.06) - NAME

    def add(self, figure: Figure, number: int) -> Axes:
        """The axes of a panel."""
        left, top = self._corner(number)
        bottom = (top - self.panel[1]) / self.page
        return figure.add_axes((left / WIDTH, bottom, self.panel[0] / WIDTH, self.panel[1] / self.page), anchor="NW")

    def write(self, figure: Figure, number: int, text: str, right: bool = False, **style: Any) -> None:
        """A text above a panel, at its left or its right edge."""
        left, top = self._corner(number)
        x = (left + right * self.panel[0]) / WIDTH
        figure.text(x, (top + 0.05) / self.page, text, ha="right" if right else "left", va="baseline", **style)


def _draw_scale(figure: Figure, strongest: float) -> None:
    width, height = figure.get_size_inches()
    scale = ScalarMappable(cmap=WEIGHT_COLOURS)
    scale.set_clim(0, strongest)
    axis = figure.add_axes(((MARGIN + 0.05) / width, 0.28 / height, 2.2 / width, 0.09 / height))
    bar = figure.colorbar(scale, cax=axis, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)
    figure.text(2.6 / width, 0.325 / height, "attention of a word on a region", fontsize=7.5, va="center", color=GREY)
