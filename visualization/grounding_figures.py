"""What words mean, as a page of pictures: for each word the regions that it means are lit, the others dimmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lxmert.visualization.grounding import MEANT, MOST_WORDS, Grounding, content_words
from lxmert.visualization.pictures import GREY, lit, open_picture, show_picture, write_figure
from lxmert.visualization.report import RIGHT, UNJUDGED, WRONG
from lxmert.visualization.texts import shortened, style_of, wrapped

TEXT_WIDTH, PICTURE_WIDTH = 3.3, 3.9  # inches; of a wide picture
PICTURE_HEIGHT, GAP, WORD, MARGIN, LINE = 1.8, 0.25, 0.26, 0.25, 0.17  # inches; of other pictures
WIDE = 2.0  # width by height, above which panels stand in lines of two beside the picture
SENTENCE_WIDTH, SENTENCE_LINES = 38, 5
LONGEST_ANSWER, LONGEST_CAPTION = 18, 54
LETTERS = 10  # of a word in an inch
LIT = "#d4006a"  # outline
LEGEND = f"Lit and outlined: the regions that a word means with a probability above {MEANT:.0%}."
HEAD = 0.75  # inches, of title and legend


def draw_groundings(
    groundings: Sequence[Grounding],
    path: str | Path,
    title: str,
    words: Sequence[Sequence[int]] | None = None,
) -> Path:
    """Draw what words mean as a PNG, SVG or PDF, by the path's ending.

    Each sentence has a row: the sentence, its answer and whether that is right; the picture; and a panel for each
    chosen word, in which the regions that the word means are lit and outlined and the others are dimmed, the more so
    the less probable they are. A picture that is absent or cannot be read is drawn as an empty one.

    Args:
        groundings: what to draw.
        path: of the picture; its folder is made, and it appears when it is whole.
        title: above all.
        words: for each sentence the positions of the words that get a panel; by default `content_words`.

    Returns:
        The path.

    Raises:
        ValueError: nothing to draw, words of another number of sentences, or positions that a sentence does not have.
    """
    if not groundings:
        raise ValueError("groundings is empty: there is nothing to draw.")
    chosen = [content_words(item) for item in groundings] if words is None else [list(row) for row in words]
    if len(chosen) != len(groundings):
        raise ValueError(f"Give words for each sentence, got those of {len(chosen)} for {len(groundings)} sentences.")
    for item, row in zip(groundings, chosen, strict=True):
        if wrong := [word for word in row if not 0 <= word < len(item.words)]:
            raise ValueError(f"words names positions {wrong}, {item.sentence!r} has words 0 to {len(item.words) - 1}.")
    texts = [
        text for item in groundings for text in (item.sentence, item.caption, *(answer for answer, _ in item.answers))
    ]
    style = style_of([title, *texts])
    layout = _Layout.of(groundings, chosen)
    figure = Figure(figsize=(layout.width, layout.height))
    x, y = MARGIN / layout.width, 1 - MARGIN / layout.height
    heading = wrapped(title, int(9 * layout.width), 2)
    figure.text(x, y, heading, fontsize=13, va="top", **style)
    lines = heading.count("\n") + 1
    figure.text(x, y - 0.25 * lines / layout.height, LEGEND, fontsize=9, va="top", color=GREY)
    top = MARGIN + HEAD
    for item, row in zip(groundings, chosen, strict=True):
        _draw_row(figure, layout, item, row, top, style)
        top += layout.row_height(len(row))
    return write_figure(figure, path, resolution=110)


@dataclass(frozen=True)
class _Layout:
    """Where everything stands, in inches.

    Args:
        panel: width and height of a picture.
        across: panels of words beside the picture, before a new line begins.
        width: of the page.
        height: of the page.
    """

    panel: tuple[float, float]
    across: int
    width: float
    height: float

    @classmethod
    def of(cls, groundings: Sequence[Grounding], chosen: Sequence[Sequence[int]]) -> "_Layout":
        widest = max(item.regions.image_size[1] / item.regions.image_size[0] for item in groundings)
        panel = (PICTURE_WIDTH, PICTURE_WIDTH / widest) if widest > WIDE else (PICTURE_HEIGHT * widest, PICTURE_HEIGHT)
        across = min(max(map(len, chosen)), 2 if widest > WIDE else MOST_WORDS)
        width = 2 * MARGIN + TEXT_WIDTH + (1 + across) * (panel[0] + GAP)
        rows = cls(panel, max(across, 1), width, 0)
        return cls(panel, max(across, 1), width, 2 * MARGIN + HEAD + sum(rows.row_height(len(row)) for row in chosen))

    def row_height(self, words: int) -> float:
        """Of a sentence with so many panels of words."""
        lines = max(-(-words // self.across), 1)
        text = WORD + LINE * (SENTENCE_LINES + 2)
        return max(lines * (self.panel[1] + WORD), text) + GAP

    def place(self, top: float, line: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel as shares of the page."""
        left = MARGIN + TEXT_WIDTH + column * (self.panel[0] + GAP)
        bottom = self.height - top - WORD - line * (self.panel[1] + WORD) - self.panel[1]
        return left / self.width, bottom / self.height, self.panel[0] / self.width, self.panel[1] / self.height


def _draw_row(
    figure: Figure, layout: _Layout, item: Grounding, words: list[int], top: float, style: dict[str, Any]
) -> None:
    figure.add_artist(_rule(layout, top))
    x, y = MARGIN / layout.width, 1 - (top + WORD) / layout.height
    sentence = wrapped(item.sentence, SENTENCE_WIDTH, SENTENCE_LINES)
    figure.text(x, y, sentence, fontsize=10, va="top", linespacing=1.2, **style)
    verdict, colour = _verdict(item)
    below = y - (LINE * (sentence.count("\n") + 1) + 0.05) / layout.height
    figure.text(x, below, verdict, fontsize=10, va="top", color=colour, fontweight="bold", **style)
    if item.caption:
        caption = shortened(item.caption, LONGEST_CAPTION)
        figure.text(x, below - 0.19 / layout.height, caption, fontsize=7.5, va="top", color=GREY, **style)
    picture, note = open_picture(item.image, item.regions.image_size)
    _draw_picture(
        figure.add_axes(layout.place(top, 0, 0)), picture, item, note or ("" if words else "no word means a region")
    )
    titles = _titles(item.words, words)
    for place, (word, title) in enumerate(zip(words, titles, strict=True)):
        line, column = divmod(place, layout.across)
        axis = figure.add_axes(layout.place(top, line, 1 + column))
        _draw_picture(axis, lit(picture, item.regions, item.probabilities[word]), item, "")
        axis.set_title(shortened(title, int(LETTERS * layout.panel[0])), fontsize=10, pad=3, **style)
        _outline(axis, item, word)


def _rule(layout: _Layout, top: float) -> Rectangle:
    """A thin line above a row."""
    y = 1 - (top - 0.02) / layout.height
    return Rectangle((MARGIN / layout.width, y), 1 - 2 * MARGIN / layout.width, 0.008 / layout.height, color="#dddddd")


def _verdict(item: Grounding) -> tuple[str, str]:
    """The answer, its probability, and whether it is right."""
    if not item.answers:
        return ("" if item.truth is None else f"truth: {item.truth}"), GREY
    answer, probability = item.answers[0]
    text = f"{shortened(answer, LONGEST_ANSWER)} ({probability:.0%})"
    if item.truth is None:
        return text, UNJUDGED
    if answer == item.truth:
        return f"{text}: right", RIGHT
    return f"{text}: wrong", WRONG


def _titles(words: Sequence[str], chosen: Sequence[int]) -> list[str]:
    """Each word, with words before it where it stands in the sentence more than once.

    Example:
        >>> _titles(["a", "black", "block", "on", "a", "blue", "block"], [2, 5, 6])
        ['black block', 'blue', 'blue block']
    """
    small = [word.lower() for word in words]
    titles = []
    for word in chosen:
        length = 1
        while length <= word and _count(small, small[word - length + 1 : word + 1]) > 1:
            length += 1
        titles.append(" ".join(words[word - length + 1 : word + 1]))
    return titles


def _count(words: Sequence[str], stretch: Sequence[str]) -> int:
    return sum(words[start : start + len(stretch)] == stretch for start in range(len(words)))


def _draw_picture(axis: Axes, picture: np.ndarray, item: Grounding, note: str) -> None:
    show_picture(axis, picture, item.regions.image_size)
    axis.set_anchor("NW")
    if note:
        axis.set_title(note, fontsize=8, pad=3, color=GREY)


def _outline(axis: Axes, item: Grounding, word: int) -> None:
    for x1, y1, x2, y2 in item.regions.boxes[item.meant(word)]:
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=LIT, linewidth=1.4, clip_on=False))
