"""A page that shows an explanation: point at words and regions, choose methods, layers and heads.

One HTML file, opened from disk, without a network or a library.
"""

import base64
import functools
import html
import io
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from lxmert.processing.images import load_image
from lxmert.processing.record_tables import write_whole
from lxmert.visualization.explanation import Explanation, check_size
from lxmert.visualization.explorer_data import blocks_of, fit, page_data
from lxmert.visualization.texts import shortened

TEMPLATE, STYLE = "explorer.html", "explorer.css"
SCRIPTS = ("explorer_state.js", "explorer_drawing.js", "explorer_controls.js")  # one after the other
LONGEST_SIDE = 1024  # pixels of the picture in the page
DRAWN_COLOURS = 256  # at most so many are a drawing, kept without loss
LONGEST_TITLE = 120
COLOURS = np.rint(colormaps["magma"](np.linspace(0, 1, 33))[:, :3] * 255).astype(int)  # perceptually uniform


def write_explorer(
    explanation: Explanation, path: str | Path, title: str | None = None, max_bytes: int = 4_500_000
) -> Path:
    """Write a page on which a person explores an explanation in a browser.

    The page shows the picture with its regions, the wordpieces, the likeliest answers, and for whatever word or region
    is pointed at, the weights of the others: relevance by each method for each explained answer, or attention of each
    kind, layer and head. Of more maps than `max_bytes` have room for, the largest ones are reduced: heads to their
    mean, then each query's keys to the strongest ones, the others becoming 0, then layers to their mean. The page
    says what was left out. A picture that is absent or cannot be read is shown as an empty one.

    Args:
        explanation: what to show.
        path: of the page, ending in .html or .htm; its folder is made, and it appears when it is whole.
        title: above all, by default the question.
        max_bytes: of the file.

    Returns:
        The path.

    Raises:
        TypeError: an image that is no picture.
        ValueError: a path with another ending, a picture of another size than its regions, an explanation without
            maps and relevances, weights that are no finite numbers of at least 0, or `max_bytes` that are too few even
            for reduced maps.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The page is an HTML file: give a path that ends in .html, got {path}.")
    blocks, places = blocks_of(explanation)
    if not blocks:
        raise ValueError("The explanation has neither attention maps nor relevances: there is nothing to show.")
    data = page_data(explanation, places)
    data["picture"], data["picture_note"] = _embedded_picture(explanation)
    data["title"] = shortened(title or explanation.question, LONGEST_TITLE)
    data["has_own_title"] = bool(title)
    data["colours"] = COLOURS.tolist()
    data["blocks"], data["notes"] = {}, []
    reserve = 300 * len(blocks)  # for their shapes and for what is said of reductions
    fit(blocks, max_bytes - reserve - len(_page(data)))
    for block in blocks:
        data["blocks"][block.name] = {
            "shape": block.values.shape,
            "has_own": block.own is not None,
            "packed": block.packed,
        }
        if block.reductions:
            data["notes"].append(f"{block.title}: {'; '.join(block.reductions.values())}")
    page = _page(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda work: work.write_bytes(page))
    return path


def _page(data: dict[str, object]) -> bytes:
    """The template with the data; neither texts nor data can end the element that they stand in."""
    inside = json.dumps(data, separators=(",", ":"))  # ASCII
    for character in "<>&":
        inside = inside.replace(character, f"\\u{ord(character):04x}")
    title = html.escape(str(data["title"])).encode("ascii", "xmlcharrefreplace").decode()
    parts = {"title": title, "explanation": inside, "style": _part(STYLE), "script": "".join(map(_part, SCRIPTS))}
    # One pass: what is filled in is not searched for places to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _part(TEMPLATE)).encode()


@functools.cache
def _part(name: str) -> str:
    """A file of the page, which lies beside this one."""
    return resources.files("lxmert.visualization").joinpath(name).read_text(encoding="utf-8")


def _embedded_picture(explanation: Explanation) -> tuple[str | None, str]:
    """The picture as a data URI, or None and the reason."""
    if explanation.image is None:
        return None, "picture not at hand"
    try:
        picture = load_image(explanation.image)
    except (OSError, ValueError):
        return None, "picture cannot be read"
    check_size(picture, explanation.regions)
    is_drawing = picture.getcolors(DRAWN_COLOURS) is not None
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if is_drawing:
        picture.save(file, "PNG")
    else:
        picture.save(file, "JPEG", quality=88)
    kind = "png" if is_drawing else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", ""
