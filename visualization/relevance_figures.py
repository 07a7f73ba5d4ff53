"""What answers rest on, as a figure for a paper: regions and words by relevance, a row for each method."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from lxmert.visualization.answer_relevance import Relevance
from lxmert.visualization.explanation import Explanation
from lxmert.visualization.pictures import (
    GREY,
    PAPER_COLOURS,
    WEIGHT_COLOURS,
    draw_weights,
    lit,
    picture_of,
    show_picture,
    write_figure,
)
from lxmert.visualization.relevance_rules import METHODS_FOR_PEOPLE, WITHOUT_GRADIENT, Method
from lxmert.visualization.texts import boxes_for_missing_characters, shortened, style_of, wrapped
from lxmert.visualization.word_classes import WholeWord, whole_words, written_words

TITLES = {method: f"{method.replace('_', ' ')}: {title}" for method, (title, _) in METHODS_FOR_PEOPLE.items()}
PANEL_WIDTHS, HIGHEST = (4.8, 3.5, 2.7), 2.4  # inches, of one, two, and three or more panels in a row; of a picture
MARGIN, GAP, BARS, NAME, LINE, FOOT = 0.15, 0.18, 1.75, 0.24, 0.21, 0.55  # inches
WORD_SIZE, WORD_GAP = 8.5, 0.07  # points; inches between words
NUMBERED, MOST_ANSWERS, BAR = 4, 5, 0.27
LONGEST_ANSWER, CHOSEN, OTHER = 16, "#1f5fa8", "#b8bec6"


class _Panel(NamedTuple):
    """One method's relevance for one answer.

    Args:
        words: (W,), relevance of each word.
        regions: (R,), of each region.
    """

    words: np.ndarray
    regions: np.ndarray


def draw_relevance(
    explanation: Explanation,
    path: str | Path,
    methods: Sequence[Method] | None = None,
    answers: Sequence[str] | None = None,
    title: str | None = None,
) -> Path:
    """Draw what answers rest on as a PNG, SVG or PDF, by the path's ending.

    A row for each method with a panel for each answer: the picture, in which regions are the lighter and their outlines
    the brighter the more relevant they are, with numbers at the four most relevant; beneath it the words of the
    sentence. Words and regions are each scaled to their own maximum in a row, so answers compare within a row and
    methods do not. Methods without gradients explain no answer in particular and have one panel. Beside the first row
    stand the likeliest answers. A picture that is absent or cannot be read is drawn as an empty one.

    Args:
        explanation: of one picture.
        path: of the drawing; its folder is made, and it appears when it is whole.
        methods: of those that the explanation has, by default all.
        answers: of those that it explains, by default all.
        title: above all, by default the question.

    Returns:
        The path.

    Raises:
        ValueError: an explanation without relevance, methods or answers that it does not have, a picture of another
            size than its regions, or a path with another ending.
    """
    chosen_methods, chosen_answers = _chosen(explanation, methods, answers)
    words = whole_words(explanation.words)
    texts = written_words(explanation.question, words)
    rows = [_panels(explanation, method, chosen_answers, words) for method in chosen_methods]
    heading = title or explanation.question
    style = style_of([heading, *texts, *(answer for answer, _ in explanation.answers)])
    layout = _Layout.of(explanation, len(chosen_answers), len(chosen_methods), heading, texts, style)
    figure = Figure(figsize=(layout.width, layout.height))
    x, y = MARGIN / layout.width, 1 - MARGIN / layout.height
    figure.text(x, y, layout.heading, fontsize=11, va="top", **style)
    picture, note = picture_of(explanation)
    if note:
        figure.text(1 - x, y, note, fontsize=8, va="top", ha="right", color=GREY)
    for row, (method, panels) in enumerate(zip(chosen_methods, rows, strict=True)):
        top = layout.top + row * layout.row
        figure.text(x, 1 - top / layout.height, TITLES.get(method, method), fontsize=9, va="top", fontweight="bold")
        most = max(_most(panel.words) for panel in panels), max(_most(panel.regions) for panel in panels)
        for column, panel in enumerate(panels):
            answer = "" if method in WITHOUT_GRADIENT else chosen_answers[column]
            _draw_panel(figure, layout, explanation, picture, panel, most, (top + NAME, column), answer, texts, style)
    _draw_answers(figure, layout, explanation, chosen_answers, style)
    _draw_scales(figure)
    return write_figure(figure, path)


def _chosen(
    explanation: Explanation, methods: Sequence[Method] | None, answers: Sequence[str] | None
) -> tuple[list[Method], list[str]]:
    there: dict[str, Sequence[str]] = {"methods": list(explanation.relevances), "answers": explanation.explained}
    found = []
    for name, given in (("methods", methods), ("answers", answers)):
        known = there[name]
        asked = list(known if given is None else given)
        if not asked or not set(asked) <= set(known):
            raise ValueError(f"{name} must be some of {', '.join(known) or 'none'} in the explanation, got {asked}.")
        found.append(asked)
    return found[0], found[1]  # type: ignore[return-value]


def _most(relevance: np.ndarray) -> float:
    """The largest, above 0 even where nothing is relevant."""
    return max(float(relevance.max(initial=0)), 1e-30)


def _panels(
    explanation: Explanation, method: Method, answers: Sequence[str], words: Sequence[WholeWord]
) -> list[_Panel]:
    given = explanation.relevances[method]

    def panel(found: Relevance) -> _Panel:
        pieces = found.words[0].clip(min=0)
        return _Panel(np.array([pieces[list(word.pieces)].sum() for word in words]), found.regions[0].clip(min=0))

    return [panel(given[answer]) for answer in (answers[:1] if method in WITHOUT_GRADIENT else answers)]


@dataclass(frozen=True)
class _Layout:
    """Where everything stands, in inches.

    Args:
        panel: width and height of a picture.
        row: height of a method's row.
        top: of the first row.
        width: of the page.
        height: of the page.
        heading: in lines.
        lines: words of each line beneath a picture, as (number, left edge, width).
        bars: how many answers have a bar.
    """

    panel: tuple[float, float]
    row: float
    top: float
    width: float
    height: float
    heading: str
    lines: list[list[tuple[int, float, float]]]
    bars: int

    @classmethod
    def of(
        cls,
        explanation: Explanation,
        columns: int,
        rows: int,
        heading: str,
        texts: Sequence[str],
        style: dict[str, Any],
    ) -> "_Layout":
        height, width = explanation.regions.image_size
        across = PANEL_WIDTHS[min(columns, len(PANEL_WIDTHS)) - 1]
        panel = (across, min(across * height / width, HIGHEST))
        page = 2 * MARGIN + columns * (across + GAP) + BARS
        told = wrapped(heading, int(8.5 * page), 3)
        lines = _lines(texts, across, style)
        row = NAME + 0.2 + panel[1] + 0.08 + LINE * len(lines) + 0.16
        top = MARGIN + 0.2 * (told.count("\n") + 1) + 0.12
        bars = min(len(explanation.answers), MOST_ANSWERS)
        whole = max(rows * row, NAME + 0.2 + BAR * bars)
        return cls(panel, row, top, page, top + whole + FOOT, told, lines, bars)

    def place(self, top: float, left: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height as shares of the page."""
        bottom = self.height - top - height
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def _lines(texts: Sequence[str], width: float, style: dict[str, Any]) -> list[list[tuple[int, float, float]]]:
    """Words in lines of at most this width in inches; a word that is longer has a line of its own."""
    sheet = Figure()
    lines: list[list[tuple[int, float, float]]] = [[]]
    x = 0.0
    drawn = [sheet.text(0, 0, text, fontsize=WORD_SIZE, **style) for text in texts]
    with boxes_for_missing_characters():
        widths = [text.get_window_extent().width / sheet.dpi + 0.05 for text in drawn]
    for number, wide in enumerate(widths):
        if lines[-1] and x + wide > width:
            lines.append([])
            x = 0.0
        lines[-1].append((number, x, wide))
        x += wide + WORD_GAP
    return lines


def _draw_panel(
    figure: Figure,
    layout: _Layout,
    explanation: Explanation,
    picture: np.ndarray,
    panel: _Panel,
    most: tuple[float, float],
    place: tuple[float, int],
    answer: str,
    texts: Sequence[str],
    style: dict[str, Any],
) -> None:
    """A picture and the sentence beneath it.

    Args:
        most: relevance of words and of regions at the end of the colours.
        place: the upper edge in inches, and the column.
    """
    top, column = place
    left = MARGIN + column * (layout.panel[0] + GAP)
    said = f"for “{shortened(answer, LONGEST_ANSWER)}”" if answer else "of no answer in particular"
    figure.text(left / layout.width, 1 - top / layout.height, said, fontsize=8, va="top", color=GREY, **style)
    axis = figure.add_axes(layout.place(top + 0.2, left, *layout.panel), anchor="NW")
    size = explanation.regions.image_size
    shares = panel.regions / most[1]
    show_picture(axis, lit(picture, explanation.regions, np.sqrt(shares)), size)
    draw_weights(axis, explanation.regions, shares, 1.0, min(NUMBERED, int((shares > 0.05).sum())))
    for line, words in enumerate(layout.lines):
        y = 1 - (top + 0.2 + layout.panel[1] + 0.08 + LINE * (line + 0.5)) / layout.height
        for number, x, wide in words:
            share = float(panel.words[number] / most[0])
            figure.text(
                (left + x + wide / 2) / layout.width,
                y,
                texts[number],
                fontsize=WORD_SIZE,
                ha="center",
                va="center_baseline",
                color="white" if share > 0.5 else "black",
                bbox={"facecolor": PAPER_COLOURS(share), "edgecolor": "none", "pad": 1.6},
                **style,
            )


def _draw_answers(
    figure: Figure, layout: _Layout, explanation: Explanation, chosen: Sequence[str], style: dict[str, Any]
) -> None:
    shown = explanation.answers[: layout.bars]
    left = layout.width - MARGIN - BARS + 0.1
    figure.text(left / layout.width, 1 - layout.top / layout.height, "answers", fontsize=9, va="top", fontweight="bold")
    axis = figure.add_axes(layout.place(layout.top + NAME + 0.1, left, BARS - 0.1, BAR * len(shown) * 1.6))
    for place, (answer, probability) in enumerate(shown):
        axis.barh(place + 0.22, probability, color=CHOSEN if answer in chosen else OTHER, height=0.36)
        axis.text(0, place - 0.12, shortened(answer, LONGEST_ANSWER), fontsize=8, va="center", **style)
        axis.text(1, place - 0.12, f"{probability:.1%}", fontsize=8, va="center", ha="right", color=GREY)
    axis.set_xlim(0, 1)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_axis_off()


def _draw_scales(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    for left, name, colours in ((MARGIN, "regions", WEIGHT_COLOURS), (MARGIN + 1.75, "words", PAPER_COLOURS)):
        axis = figure.add_axes(((left + 0.05) / width, 0.27 / height, 1.5 / width, 0.09 / height))
        bar = figure.colorbar(ScalarMappable(cmap=colours), cax=axis, orientation="horizontal")
        bar.outline.set_visible(False)
        bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        bar.ax.tick_params(labelsize=7, length=2)
        axis.set_title(name, fontsize=7.5, pad=2, loc="left", color=GREY)
    told = "relevance; words and regions of each row by their own maximum"
    lines = wrapped(told, int(17 * (width - 4.0)), 2)
    figure.text((MARGIN + 3.5) / width, 0.315 / height, lines, fontsize=7.5, va="center", color=GREY)
