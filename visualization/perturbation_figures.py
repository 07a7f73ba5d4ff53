"""The curves of a perturbation test, drawn."""

from pathlib import Path

from matplotlib.figure import Figure

from lxmert.visualization.perturbation import DIRECTIONS, RANKINGS, PerturbationResult
from lxmert.visualization.pictures import GREY, write_figure
from lxmert.visualization.texts import style_of

TITLES = {
    "positive": "most relevant {side} first: lower is better",
    "negative": "least relevant {side} first: higher is better",
}
RESOLUTION = 130  # dots per inch


def draw_perturbation(result: PerturbationResult, path: str | Path, title: str = "") -> Path:
    """Draw the accuracy over what is removed, as a PNG, SVG or PDF, by the path's ending.

    One panel for each side and direction, one line for each ranking, the best area first in the legend.

    Args:
        result: of `perturbation_test`.
        path: of the picture; its folder is made, and it appears when it is whole.
        title: above all.

    Returns:
        The path.

    Raises:
        ValueError: a path with another ending.
    """
    sides = list(dict.fromkeys(curve.side for curve in result.curves))
    figure = Figure(figsize=(10, 3.7 * len(sides) + 0.4), layout="constrained")
    panels = figure.subplots(len(sides), len(DIRECTIONS), sharey=True, squeeze=False)
    for row, side in enumerate(sides):
        for panel, direction in zip(panels[row], DIRECTIONS, strict=True):
            curves = [curve for curve in result.curves if (curve.side, curve.direction) == (side, direction)]
            best_first = sorted(curves, key=lambda curve: curve.area, reverse=direction == "negative")
            for curve in best_first:
                plain = curve.ranking == "random"
                panel.plot(
                    100 * curve.shares,
                    100 * curve.accuracies,
                    label=f"{curve.ranking.replace('_', ' ')} ({100 * curve.area:.1f})",
                    color=GREY if plain else f"C{RANKINGS.index(curve.ranking)}",
                    linestyle="--" if plain else "-",
                    marker="o",
                    markersize=3,
                )
            panel.set_title(TITLES[direction].format(side=side), fontsize=10)
            panel.set_xlabel(f"{side} removed, %")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8, title="area under the curve, %", title_fontsize=8)
        panels[row][0].set_ylabel("right answers, %" if result.labelled else "unchanged answers, %")
    figure.suptitle(title or f"{result.pairs:,} questions", fontsize=12, **style_of([title]))
    return write_figure(figure, path, RESOLUTION)
