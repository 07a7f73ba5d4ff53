"""Texts in pictures: of any length, in any script, taken as they stand."""

import functools
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import font_manager

PLAIN = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDERS = "Last Resort"  # so does this: a box for each character there is
UPRIGHT = (400, 500, "normal", "regular", "medium")


def shortened(text: str, longest: int) -> str:
    """A text on one line, cut with an ellipsis if it is longer.

    Example:
        >>> shortened("is it a red\\nballoon?", 14)
        'is it a red b…'
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def wrapped(text: str, width: int, lines: int) -> str:
    """A text in lines of at most so many characters, cut with an ellipsis after the last.

    Example:
        >>> wrapped("what colour is the large ball?", 12, 2)
        'what colour\\nis the larg…'
    """
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    width = int(0.45 * width) if 2 * wide > len(text) else width  # such characters take the room of two
    broken = textwrap.wrap(text, width)
    if len(broken) > lines:
        broken = [*broken[: lines - 1], broken[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(broken)


def counted(number: int, what: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "question"), counted(2000, "image")
        ('1 question', '2,000 images')
    """
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def style_of(texts: Iterable[str]) -> dict[str, Any]:
    """Keywords for matplotlib that draw texts as they stand: dollars begin no formula, other scripts find a font."""
    return {"parse_math": False, "fontfamily": fonts_for(texts)}


def fonts_for(texts: Iterable[str]) -> list[str]:
    """Families of installed fonts that together have the characters of some texts, as far as any has.

    Those after the first stand in where characters are missing, so most texts need the first only.
    """
    missing = {ord(character) for text in texts for character in text if character.isprintable()} - _characters(
        font_manager.findfont(PLAIN)
    )
    families = [PLAIN]
    fonts = [
        font
        for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname))
        if missing and font.style == "normal" and font.weight in UPRIGHT and not font.name.startswith(PLACEHOLDERS)
    ]
    while missing and fonts:
        best = max(fonts, key=lambda font: len(missing & _characters(font.fname)))
        found = missing & _characters(best.fname)
        if not found:
            break
        families.append(best.name)
        missing -= found
    return families


@contextmanager
def boxes_for_missing_characters() -> Iterator[None]:
    """Characters that no font has are drawn as empty boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


@functools.lru_cache(maxsize=512)
def _characters(path: str) -> frozenset[int]:
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that cannot be read
        return frozenset()
