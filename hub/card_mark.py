"""Telling a card that this package wrote from one that a person edited."""

import hashlib
import re
import tempfile
from pathlib import Path

from huggingface_hub import ModelCard

from lxmert.training import TrainingDataCard, training_data_of

MADE, COPIED = "Made by lxmert", "A copy; edit the card in the folder that is published"
MARK = re.compile(rf"\n<!-- ({MADE}|{COPIED}); digest of all above: ([0-9a-f]{{16}}) -->\n\Z")


def with_mark(text: str) -> str:
    """The text and, as a comment behind it, a digest by which `is_edited` knows it again."""
    return _marked(text, MADE)


def as_copy(text: str) -> str:
    """The card of a person with a mark by which `is_intact` knows the copy again."""
    return _marked(text, COPIED)


def is_edited(text: str) -> bool:
    """Whether a card is a person's work: it has no mark, or not the digest that its text has now.

    The short card that training leaves beside the weights has no mark, but can be written again from its own metadata;
    it counts as edited only if that gives another text.

    Example:
        >>> is_edited(with_mark("# A model")), is_edited(with_mark("# A model").replace("A", "My"))
        (False, True)
    """
    text = text.replace("\r\n", "\n")  # as some editors and Git on Windows save it
    if (mark := MARK.search(text)) is not None:
        return mark[1] != MADE or _digest(text[: mark.start()]) != mark[2]
    return not _is_of_training(text)


def is_intact(text: str) -> bool:
    """Whether a card is as this package wrote it, made or copied, so that nothing is lost with it."""
    text = text.replace("\r\n", "\n")
    mark = MARK.search(text)
    copied = mark is not None and mark[1] == COPIED and _digest(text[: mark.start()]) == mark[2]
    return copied or not is_edited(text)


def _marked(text: str, by: str) -> str:
    return f"{text.rstrip()}\n\n<!-- {by}; digest of all above: {_digest(text)} -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _is_of_training(text: str) -> bool:
    headline = re.search(r"^# (.+)$", text, re.MULTILINE)
    withheld = re.search(r"^Trained with the (\w+) withheld", text, re.MULTILINE)
    if headline is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "README.md")
        path.write_text(text, encoding="utf-8")
        learned = training_data_of(folder)
        tag = ModelCard(text, ignore_metadata_errors=True).data.get("pipeline_tag") if learned else None
        TrainingDataCard(headline[1], learned, withheld and withheld[1], tag).save_pretrained(folder)
        return path.read_text(encoding="utf-8") == text
