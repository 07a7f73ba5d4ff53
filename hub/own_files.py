"""Files beside a checkpoint, read by one reader each: what is wrong with them is told with their path."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import RepoCard, constants

CARD = constants.REPOCARD_NAME


def read_json(path: Path, kind: type = dict) -> Any:
    """The content of a JSON file, None if it is not there.

    Args:
        path: of the file.
        kind: what it must hold, dict or list.

    Raises:
        ValueError: no JSON, or another kind.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: put back a copy, or move it away ({error}).") from error
    if not isinstance(content, kind):
        raise ValueError(
            f"{path} must hold a JSON {kind.__name__}, got {type(content).__name__}: put back a copy, or move it away."
        )
    return content


def read_card(folder: Path) -> str | None:
    """The text of a folder's card, None if there is none.

    Raises:
        ValueError: another encoding than UTF-8.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8 ({error.reason}): save it so.") from error


def license_of(folder: str | Path) -> str:
    """The licence that a folder's card names, nothing if there is no card or no licence.

    Raises:
        ValueError: a card that cannot be read.
    """
    folder = Path(folder)
    if (text := read_card(folder)) is None:
        return ""
    try:
        named = RepoCard(text, ignore_metadata_errors=True).data.get("license") or ""
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"The metadata at the head of {folder / CARD} cannot be read ({' '.join(str(error).split())}): mend it, or "
            "delete the file to have the card made anew."
        ) from error
    return str(named[0] if isinstance(named, list) else named)
