"""The course of a pre-training run: one panel for each task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

TITLES = {
    "mask_lm": "Masked words",
    "matched": "Matching",
    "obj": "Masked objects",
    "attr": "Masked attributes",
    "feat": "Masked features",
    "qa": "Question answering",
    "grounding": "Grounding",
    "count": "Counting",
}
MODEL, TRIVIAL = "#1f5fa8", "#b5382c"


def draw_pretraining(
    history: Sequence[Mapping[str, float]],
    path: str | Path,
    start: Mapping[str, float] | None = None,
    trivial: Mapping[str, float] | None = None,
    title: str = "Pre-training, losses on held-out examples",
) -> Path:
    """Draw the validation loss of every task over the steps, as a PNG, SVG or PDF by the path's ending.

    Args:
        history: entries of `TrainingResult.history`.
        path: of the picture; its folder is made.
        start: losses by task before the first step.
        trivial: by task, the loss of a predictor that does not look, drawn as a dashed line.
        title: above all.

    Returns:
        The path.

    Raises:
        ValueError: a history without validation losses of pre-training.
    """
    names = [name for name in TITLES if any(f"validation_{name}" in entry for entry in history)]
    if not names:
        raise ValueError("history holds no validation loss of a pre-training task: there is nothing to draw.")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.6 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        points = [(entry["step"], entry[f"validation_{name}"]) for entry in history if f"validation_{name}" in entry]
        if start and name in start:
            points.insert(0, (0, start[name]))
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, color=MODEL)
        if trivial and name in trivial:
            axis.axhline(trivial[name], linestyle="--", color=TRIVIAL)
            axis.annotate(
                "without looking",
                (1, trivial[name]),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=TRIVIAL,
            )
        axis.set_title(TITLES[name], fontsize=10)
        axis.set_ylim(0, 1.15 * max(value for _, value in points) or 1)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
