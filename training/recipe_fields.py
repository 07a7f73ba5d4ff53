"""What recipes have in common: sections with known fields, and paths in them."""

from pathlib import Path
from typing import Any

from lxmert.configuration.plain_errors import unknown_keywords_message


def check_fields(section: str, values: Any, known: set[str]) -> None:
    """Refuse what is no mapping, and unknown fields, the first of them named with the nearest known one.

    Raises:
        TypeError: naming the section.
    """
    if not isinstance(values, dict):
        raise TypeError(f"{section} must be a mapping of fields, got {values!r}.")
    if unknown := sorted(map(str, values.keys() - known)):
        raise TypeError(unknown_keywords_message(section, unknown, known) + f"; it takes {', '.join(sorted(known))}.")


def place_of(value: str, folder: str | Path | None) -> str:
    """A path inside the folder where there is one, otherwise a path as it stands, or a name on the Hub.

    Raises:
        FileNotFoundError: what can only be a path is not there.
    """
    inside = None if folder is None else Path(folder) / value
    if inside is not None and inside.exists():
        return str(inside)
    if not Path(value).exists() and (value.startswith(("/", ".", "~")) or value.endswith((".pth", ".json"))):
        raise FileNotFoundError(f"{value} is not there{'' if inside is None else f', nor {inside}'}.")
    return value
