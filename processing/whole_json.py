"""A small JSON file as a whole, and the text of a file that somebody wrote."""

import json
from pathlib import Path
from typing import Any

from lxmert.processing.json_entries import BrokenJsonError, coding_of, reason_of


def read_json(path: str | Path) -> Any:
    """What a JSON file holds, read at once.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, another encoding or broken JSON; names the file.
    """
    text = read_utf8(Path(path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenJsonError(str(path), reason_of(error)) from error


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, or another encoding; names the file and the line.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it.")
    content = path.read_bytes()
    coding = coding_of(content)
    if coding == "gzip":
        raise ValueError(f"{path}: no UTF-8 (gzip): unpack it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        coding = coding or f"byte {content[error.start]:#x}"
        line = content.count(b"\n", 0, error.start) + 1
    else:
        if not coding:
            return text
        line = 1
    raise ValueError(f"{path}, line {line}: no UTF-8 ({coding}): save it as UTF-8 (in Excel: CSV UTF-8).")


def is_unicode(text: str) -> bool:
    """Whether a text can be written to a file: not with half of a character, as the JSON text "\\ud800" is."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
