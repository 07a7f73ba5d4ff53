"""Regions drawn over their picture: boxes with what they show, the surest on top."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lxmert.processing.images import load_image
from lxmert.processing.regions import Regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind people tell apart ("Color Universal Design", 2008), without black.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
EMPTY = "#F3F3F3"
LONGEST_SIDE = (4.5, 8.0)  # inches: of drawings of up to 300 pixels, of photographs of 640 and more
MOST_STRETCHED = 8  # ratio of a figure's sides; a picture of more is not drawn in its own shape
MARGIN = 0.005  # of each side, so that lines along the border are seen whole
ROOMY = 5  # height of a box, in heights of its label, from which on the label hides little of it
LABEL_PADDING = 0.25  # of the size of its letters


def draw_regions(regions: Regions, image: Any = None, ax: "Axes | None" = None, top: int | None = None) -> "Axes":
    """What `Regions.plot` does, and documents."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
        from matplotlib.patheffects import withStroke
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Drawing regions needs matplotlib: pip install lxmert[plots].") from error
    if top is not None and (not isinstance(top, int) or top < 1):
        raise ValueError(f"top must be a whole number of at least 1, or None for all regions, got {top!r}.")
    height, width = regions.image_size
    picture = _open(image, regions.image_size)
    if ax is None:
        longest = np.interp(max(height, width), (300, 640), LONGEST_SIDE)
        scale, shortest = longest / max(height, width), longest / MOST_STRETCHED
        ax = Figure((max(width * scale, shortest), max(height * scale, shortest)), dpi=150).add_axes((0, 0, 1, 1))
    stretched = max(height, width) > MOST_STRETCHED * min(height, width)
    ax.imshow(
        picture,
        extent=(0, width, height, 0),
        aspect="auto" if stretched else "equal",
        interpolation="nearest" if max(height, width) < 200 else "antialiased",
    )
    ax.set_xlim(-MARGIN * width, (1 + MARGIN) * width)
    ax.set_ylim((1 + MARGIN) * height, -MARGIN * height)
    ax.set_axis_off()

    font_size = _font_size(ax)
    rows = best_first(regions)[:top]
    for rank, row in enumerate(rows):
        x1, y1, x2, y2 = regions.boxes[row].tolist()
        line = font_size * (0.26 - 0.14 * rank / len(regions))  # the surest catch the eye
        ax.add_patch(
            Rectangle(
                (x1, y1),
                x2 - x1,
                y2 - y1,
                fill=False,
                edgecolor=COLOURS[rank % len(COLOURS)],
                linewidth=line,
                joinstyle="miter",
                path_effects=[withStroke(linewidth=line + 1, foreground="#00000080")],
                zorder=2 + 1 / (1 + rank),
            )
        )
    _draw_labels(ax, regions, rows, font_size)
    return ax


def best_first(regions: Regions) -> np.ndarray:
    """Rows of the regions by falling score of the object, or the attribute where there is none; as they are without."""
    scores = regions.attribute_scores if regions.object_scores is None else regions.object_scores
    return np.arange(len(regions)) if scores is None else np.argsort(-scores, kind="stable")


def place_labels(boxes: np.ndarray, sizes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Where labels go: at the edges of their boxes, inside the image, each where it hides the least of those before.

    Args:
        boxes: (R, 4), x1, y1, x2, y2 in pixels.
        sizes: (R, 2), width and height of the labels in pixels of the image.
        image_size: (height, width) in pixels.

    Returns:
        (R, 2), x and y of each label's upper left corner.
    """
    height, width = image_size
    placed = np.empty((len(boxes), 4))  # x1, y1, x2, y2
    for i, ((x1, y1, x2, y2), (w, h)) in enumerate(zip(boxes, sizes, strict=True)):
        # In the corners of a large box, outside a small one; then further along its edges.
        inside = [(x1, y1), (x2 - w, y1), (x1, y2 - h), (x2 - w, y2 - h)]
        outside = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2)]
        corners = inside + outside if y2 - y1 >= ROOMY * h else outside + inside
        down = np.linspace(y1, max(y2 - h, y1), 12)
        across = np.linspace(x1, max(x2 - w, x1), 8)
        further = [(x, y) for y in down for x in (x1, x2 - w)] + [(x, y) for x in across for y in (y1 - h, y1, y2 - h)]
        places = np.array(corners + further)
        places = np.clip(places, 0, np.maximum([width - w, height - h], 0))
        overlap_x = np.minimum(places[:, None, 0] + w, placed[:i, 2]) - np.maximum(places[:, None, 0], placed[:i, 0])
        overlap_y = np.minimum(places[:, None, 1] + h, placed[:i, 3]) - np.maximum(places[:, None, 1], placed[:i, 1])
        hidden = (overlap_x.clip(0) * overlap_y.clip(0)).sum(axis=1) / (w * h)
        best = places[np.argmin(hidden + 1e-3 * np.arange(len(places)))]
        placed[i] = [*best, best[0] + w, best[1] + h]
    return placed[:, :2]


def _draw_labels(ax: "Axes", regions: Regions, rows: np.ndarray, font_size: float) -> None:
    padding = LABEL_PADDING * font_size
    labels = [
        ax.text(
            0,
            0,
            regions.describe(row) or str(row),
            fontsize=font_size,
            color=_readable_on(COLOURS[rank % len(COLOURS)]),
            bbox={"facecolor": COLOURS[rank % len(COLOURS)], "edgecolor": "none", "pad": padding},
            horizontalalignment="left",
            verticalalignment="top",
            parse_math=False,
            zorder=4 + 1 / (1 + rank),
        )
        for rank, row in enumerate(rows)
    ]
    ax.apply_aspect()
    to_pixels = ax.transData.inverted()
    (left, upper), (right, lower) = to_pixels.transform(ax.bbox.corners()[[1, 2]])
    scale = np.array([right - left, lower - upper]) / (ax.bbox.width, ax.bbox.height)  # image pixels of a dot
    dots = padding * ax.figure.dpi / 72
    extents = [label.get_window_extent() for label in labels]
    sizes = np.array([(extent.width + 2 * dots, extent.height + 2 * dots) for extent in extents]) * scale
    for label, place in zip(labels, place_labels(regions.boxes[rows], sizes, regions.image_size), strict=True):
        label.set_position(place + dots * scale)


def _open(image: Any, size: tuple[int, int]) -> Image.Image:
    """The picture, turned as its EXIF data says; without one, an empty canvas."""
    if image is None:
        return Image.new("RGB", (1, 1), EMPTY)
    picture = load_image(image)
    if (picture.height, picture.width) != size:
        raise ValueError(
            f"image is {picture.height} x {picture.width} pixels (height x width), but the regions are of one of "
            f"{size[0]} x {size[1]}: give the picture that they were found in, or resize it to that."
        )
    return picture


def _font_size(ax: "Axes") -> float:
    """Points: in proportion to the drawing's longest side, but ten lines fit into a flat one."""
    ax.apply_aspect()
    sides = ax.bbox.width / ax.figure.dpi, ax.bbox.height / ax.figure.dpi  # inches
    return float(np.clip(min(max(1 * max(sides), 6), 7.2 * min(sides)), 4, 9))


def _readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast (relative luminance of WCAG 2)."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "white"
