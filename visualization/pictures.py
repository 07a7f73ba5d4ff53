"""What drawings over pictures share: opening a picture, dimming it, regions by weight, writing the figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from lxmert.processing import Regions
from lxmert.processing.images import load_image
from lxmert.processing.record_tables import write_whole
from lxmert.processing.region_plot import place_labels
from lxmert.visualization.explanation import Explanation, check_size
from lxmert.visualization.texts import boxes_for_missing_characters

EMPTY, GREY = 0xF3, "#555555"
DIMMED, DIMMING = 150, 0.8  # grey value of what is dimmed, and its share
SMALL = 200  # pixels of the longest side of a picture whose pixels are drawn as squares
LONGEST_SIDE = 2048  # pixels of a picture in a figure
RESOLUTION = 160  # dots per inch of figures for papers


def _part_of(name: str, start: float, end: float) -> Colormap:
    return LinearSegmentedColormap.from_list(f"{name}_part", colormaps[name](np.linspace(start, end, 256)))


# Parts of perceptually uniform maps: the ends that are lost on light pictures or white paper are left out.
WEIGHT_COLOURS = _part_of("plasma", 0.05, 0.82)
ARROW_COLOURS = _part_of("magma_r", 0.2, 0.9)
PAPER_COLOURS = _part_of("magma_r", 0.0, 0.85)


def open_picture(image: Any, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """The picture (H, W, 3), or an empty one and the reason.

    Args:
        image: a picture, or None where there is none.
        size: (height, width) of the empty one.
    """
    empty = np.full((*size, 3), EMPTY, np.uint8)
    if image is None:
        return empty, "picture not at hand"
    try:
        return np.asarray(load_image(image)), ""
    except (OSError, ValueError):
        return empty, "picture cannot be read"


def picture_of(explanation: Explanation) -> tuple[np.ndarray, str]:
    """The picture (H, W, 3), made smaller where it has more pixels than a figure shows; or an empty one and the reason.

    Raises:
        ValueError: it has another size than the image that the regions were found in.
    """
    picture, note = open_picture(explanation.image, explanation.regions.image_size)
    if not note:
        check_size(picture, explanation.regions)
    if max(picture.shape) > LONGEST_SIDE:
        smaller = Image.fromarray(picture)
        smaller.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        picture = np.asarray(smaller)
    return picture, note


def show_picture(axis: Axes, picture: np.ndarray, size: tuple[int, int]) -> None:
    """Draw a picture in units of the pixels that regions have.

    Args:
        axis: where.
        picture: (H, W, 3).
        size: (height, width) of the image that the regions were found in.
    """
    height, width = size
    smooth = "nearest" if max(height, width) < SMALL else "antialiased"
    axis.imshow(picture, extent=(0, width, height, 0), interpolation=smooth)
    axis.set_axis_off()


def lit(picture: np.ndarray, regions: Regions, light: np.ndarray) -> np.ndarray:
    """(H, W, 3), the picture dimmed where no region is lit; a small region's light goes above that of one around it.

    Args:
        picture: (H, W, 3).
        regions: R of them.
        light: (R,), 0 for dimmed to 1 for as it is.
    """
    shade = np.zeros(picture.shape[:2])
    scale = np.array(picture.shape[1::-1] * 2) / np.array(regions.image_size[::-1] * 2)
    boxes = np.rint(regions.boxes * scale).astype(int)
    for region in largest_first(regions):
        x1, y1, x2, y2 = boxes[region]
        shade[y1:y2, x1:x2] = light[region]
    share = DIMMING * (1 - shade)[..., None]
    return np.rint((1 - share) * picture + share * DIMMED).astype(np.uint8)


def largest_first(regions: Regions) -> np.ndarray:
    """Rows of the regions by falling area."""
    x1, y1, x2, y2 = regions.boxes.T
    return ((x2 - x1) * (y2 - y1)).argsort(kind="stable")[::-1]


def draw_weights(
    axis: Axes, regions: Regions, weights: np.ndarray, strongest: float, numbered: int = 0, font_size: float = 6.5
) -> None:
    """Outline regions by weight, the strongest above the others, and write the weights of the strongest few.

    Lines lie outside of the boxes, so that they hide nothing of what is in a small one.

    Args:
        axis: in the units of `show_picture`, whose place is fixed.
        regions: R of them.
        weights: (R,), from 0.
        strongest: weight at the end of the colours.
        numbered: how many regions get their weight written.
        font_size: of the numbers, in points.
    """
    order = weights.argsort(kind="stable")
    point = pixels_of_a_point(axis)
    for place, row in enumerate(order):
        share = float(np.clip(weights[row] / strongest, 0, 1)) if strongest > 0 else 0.0
        x1, y1, x2, y2 = regions.boxes[row].tolist()
        line = 0.5 + 1.7 * share
        out = line / 2 * point
        axis.add_patch(
            Rectangle(
                (x1 - out, y1 - out),
                x2 - x1 + 2 * out,
                y2 - y1 + 2 * out,
                fill=False,
                edgecolor=WEIGHT_COLOURS(share),
                linewidth=line,
                alpha=0.35 + 0.65 * share,
                joinstyle="miter",
                clip_on=False,
                path_effects=[withStroke(linewidth=line + 0.8, foreground="#ffffffb0")] if share > 0.2 else [],
                zorder=2 + place / len(order),
            )
        )
    chosen = order[::-1][:numbered]
    _write_numbers(axis, regions, chosen, weights, strongest, font_size)


def _write_numbers(
    axis: Axes, regions: Regions, rows: np.ndarray, weights: np.ndarray, strongest: float, font_size: float
) -> None:
    texts = [
        axis.text(
            0,
            0,
            short_number(weights[row]),
            fontsize=font_size,
            color="white" if weights[row] < 0.65 * strongest else "black",
            ha="left",
            va="top",
            bbox={"facecolor": WEIGHT_COLOURS(weights[row] / max(strongest, 1e-30)), "edgecolor": "none", "pad": 0.8},
            zorder=4 + 1 / (1 + rank),
        )
        for rank, row in enumerate(rows)
    ]
    if texts:
        sizes, offset = text_sizes(axis, texts, padding=0.8)
        for text, place in zip(texts, place_labels(regions.boxes[rows], sizes, regions.image_size), strict=True):
            text.set_position(place + offset)


def text_sizes(axis: Axes, texts: Sequence[Any], padding: float) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of texts with padding around them, (N, 2), and the padding, (2,), both in the axis's units (pixels).

    Args:
        axis: in the units of `show_picture`, whose place in the figure is fixed.
        texts: drawn in it.
        padding: in points.
    """
    point = pixels_of_a_point(axis)
    dot = point * 72 / axis.figure.dpi
    with boxes_for_missing_characters():
        extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width, extent.height) for extent in extents]) * dot + 2 * padding * point
    return sizes, np.full(2, padding * point)


def pixels_of_a_point(axis: Axes) -> float:
    """How many pixels of the picture a typographic point is, on an axis whose place in the figure is fixed."""
    axis.apply_aspect()
    (left, _), (right, _) = axis.transData.inverted().transform(axis.bbox.corners()[[1, 2]])
    return float(right - left) / axis.bbox.width * axis.figure.dpi / 72


def short_number(value: float) -> str:
    """A weight in two digits behind the point, without the 0 in front.

    Example:
        >>> short_number(0.418), short_number(1.2), short_number(0.002)
        ('.42', '1.20', '.00')
    """
    return f"{value:.2f}".removeprefix("0")


def write_figure(figure: Figure, path: str | Path, resolution: int = RESOLUTION) -> Path:
    """Write a figure as PNG, SVG or PDF, by the path's ending; its folder is made, and it appears when it is whole.

    Args:
        figure: what to write.
        path: where.
        resolution: dots per inch.

    Returns:
        The path.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    kind = path.suffix.lstrip(".").lower() or "png"
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"path must end in .png, .svg or .pdf, got {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with boxes_for_missing_characters():
        write_whole(path, lambda work: figure.savefig(work, dpi=resolution, format=kind))
    return path
