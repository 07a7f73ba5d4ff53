"""What parts of speech look at on average, as bars."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lxmert.visualization.pictures import GREY, write_figure
from lxmert.visualization.texts import shortened, style_of, wrapped
from lxmert.visualization.word_attention import WordLook, WordLooks
from lxmert.visualization.word_classes import PartOfSpeech

BAR, SPREAD = "#7d9cc0", "#1f3a5f"
MOST_GROUPS = 3  # of regions that get a panel each
LONGEST_GROUP = 20
LEAST = 20  # words that a part of speech needs


class _Panel(NamedTuple):
    """One measure of words, as bars."""

    title: str
    value: Callable[[WordLook], float | None]
    uniform: Callable[[WordLook], float | None]


def draw_parts_of_speech(
    looks: WordLooks,
    path: str | Path,
    least: int = LEAST,
    title: str = "What parts of speech look at",
) -> Path:
    """Draw averages by part of speech as a PNG, SVG or PDF, by the path's ending.

    A row for each part of speech, the most concentrated first. Panels: how concentrated attention is, 1 less its
    spread; the largest weight; where there are two or three groups of regions, how much lies on each of all but the
    last; and how much of the attention of words that name regions lies on these. Bars are means over words, lines reach
    from the first to the third quartile, a mark shows what uniform attention would give.

    Args:
        looks: of many words.
        path: of the picture; its folder is made, and it appears when it is whole.
        least: words that a part of speech needs to be drawn, and likewise words that name a region.
        title: above all.

    Returns:
        The path.

    Raises:
        ValueError: no part of speech has so many words, or a path with another ending.
    """
    parts = [part for part in looks.parts(least) if part != "other"]
    if not parts:
        raise ValueError(f"No part of speech has {least} words: give more sentences, or a smaller least.")
    parts.sort(key=lambda part: float(np.mean([look.spread for look in looks.of(part)])))
    panels = _panels(looks, parts, least)
    style = style_of([title, *looks.groups])
    width = 1.5 + 2.0 * len(panels)
    figure = Figure(figsize=(max(width, 5.5), 1.55 + 0.27 * len(parts)), layout="constrained")
    figure.suptitle(wrapped(title, int(9 * max(width, 5.5)), 2), fontsize=12, **style)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_bars(axis, looks, parts, panel, least, style)
    names = [f"{part} ({len(looks.of(part)):,})" for part in parts]
    axes[0].set_yticks(range(len(parts)), names, fontsize=9)
    axes[0].set_ylim(len(parts) - 0.4, -0.6)
    handles = [
        Patch(color=BAR, label="mean over words"),
        Line2D([], [], color=SPREAD, linewidth=1.4, label="middle half of the words"),
        Line2D([], [], color="black", marker="|", markersize=9, linestyle="none", label="uniform attention"),
    ]
    figure.legend(handles=handles, loc="outside lower right", ncols=3, fontsize=8, frameon=False)
    figure.supxlabel(looks.told, x=0.01, ha="left", fontsize=8, color=GREY)
    return write_figure(figure, path)


def _panels(looks: WordLooks, parts: Sequence[PartOfSpeech], least: int) -> list[_Panel]:
    panels = [
        _Panel("concentration (1 - spread)", lambda look: 1 - look.spread, lambda look: 0.0),
        _Panel("largest weight", lambda look: look.largest, lambda look: None),
    ]
    if 1 < len(looks.groups) <= MOST_GROUPS:
        panels += [_group_panel(group) for group in looks.groups[:-1]]
    if any(sum(look.named is not None for look in looks.of(part)) >= least for part in parts):
        told = "on regions named by the word"
        panels.append(_Panel(told, lambda look: look.named, lambda look: look.named_uniform))
    return panels


def _group_panel(group: str) -> _Panel:
    return _Panel(
        f"on {shortened(group, LONGEST_GROUP)} regions",
        lambda look: look.shares.get(group, 0.0),
        lambda look: look.uniform.get(group, 0.0),
    )


def _draw_bars(
    axis: Axes, looks: WordLooks, parts: Sequence[PartOfSpeech], panel: _Panel, least: int, style: dict[str, Any]
) -> None:
    end = 0.0
    for place, part in enumerate(parts):
        both = [(panel.value(look), panel.uniform(look)) for look in looks.of(part)]
        values, uniform = np.array([pair for pair in both if pair[0] is not None], float).reshape(-1, 2).T
        if len(values) < least:
            axis.text(0, place, " -", va="center", fontsize=8, color=GREY)
            continue
        axis.barh(place, values.mean(), color=BAR, height=0.68)
        low, high = np.quantile(values, (0.25, 0.75))
        axis.hlines(place, low, high, color=SPREAD, linewidth=1.4)
        axis.plot(uniform.mean(), place, color="black", marker="|", markersize=9, linestyle="none", clip_on=False)
        right = max(high, values.mean())
        axis.text(right, place, f" {values.mean():.2f}", va="center", fontsize=8)
        end = max(end, right)
    axis.set_xlim(0, 1.22 * end)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(panel.title, fontsize=9, loc="left", **style)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
