"""The course of a training run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lxmert.visualization.pictures import write_figure

LOSS, FIGURE, BEST = "#8a8f98", "#1f5fa8", "#2a7f4f"
RESOLUTION = 110  # dots per inch


def draw_training_curve(
    history: Sequence[Mapping[str, float]], path: str | Path, title: str, selection: str | None = None
) -> Path:
    """Draw the training loss and the figure that chose the checkpoint over the epochs, as a PNG, SVG or PDF.

    Args:
        history: entries of `TrainingResult.history`.
        path: of the picture; its folder is made.
        title: above all.
        selection: name of the figure in the entries, such as "validation_accuracy"; a ring marks the best one, which of
            losses is the lowest. None draws the training loss alone.

    Returns:
        The path.

    Raises:
        ValueError: an empty history.
    """
    if not history:
        raise ValueError("history is empty: there is nothing to draw.")
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    losses = figure.subplots()
    losses.plot(epochs, [entry["loss"] for entry in history], color=LOSS, marker="o", markersize=3)
    losses.set_xlabel("epoch")
    losses.set_ylabel("training loss", color=LOSS)
    losses.set_ylim(bottom=0)
    losses.spines[["top"]].set_visible(False)
    if selection is not None:
        values = [entry[selection] for entry in history]
        held_out = losses.twinx()
        held_out.plot(epochs, values, color=FIGURE, marker="o", markersize=3)
        held_out.set_ylabel(f"{selection.removeprefix('validation_')} of held-out examples", color=FIGURE)
        best = values.index(min(values) if selection.endswith("loss") else max(values))
        held_out.plot(epochs[best], values[best], "o", markersize=9, fillstyle="none", color=BEST)
        held_out.annotate(
            f"{values[best]:.3f}",
            (epochs[best], values[best]),
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=BEST,
        )
        held_out.spines[["top"]].set_visible(False)
    return write_figure(figure, path, resolution=RESOLUTION)
