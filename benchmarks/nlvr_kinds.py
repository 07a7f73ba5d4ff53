"""Kinds of sentences of NLVR v1: by what they say, by the scenes that they speak of, and by their wording."""

import re
from typing import NamedTuple

from lxmert.scenes.words import split_words


class Kind(NamedTuple):
    """A kind of sentence: those in whose words (small letters, no full stop or comma) the pattern is found."""

    group: str
    name: str
    pattern: str
    example: str


NUMBER = "one|two|three|four|five|six|seven|eight|nine|[0-9]+"
WALL = "edges?|walls?|corners?|sides?"
KINDS = (
    Kind("counting", "a number", rf"\b({NUMBER})\b", "There are 2 black circles"),
    Kind(
        "counting", "at least, at most", r"\b(at (least|most)|(more|less|fewer) than)\b", "There are at least 3 items"
    ),
    Kind("counting", "exactly, only", r"\b(exactly|exact|only)\b", "There is exactly one tower"),
    Kind("negation", "no, not, none, without", r"\b(no|not|none|without)\b", "There is no tower with two blocks"),
    Kind(
        "walls and corners",
        "touching an edge, wall, corner or base",
        rf"\b({WALL})\b|\btouching (the|its|a) (base|bottom|top|roof)\b",
        "there is one black triangle touching the base",
    ),
    Kind(
        "position in a tower",
        "top, base, second, middle",
        r"(?<!touching the )(?<!on )\b(base|bases|bottom|second|third|middle|top)\b|\bon top\b(?! of)",
        "There are three black blocks as the base of a tower",
    ),
    Kind(
        "relations",
        "on, above, over, below, between, each other",
        r"\b(above|over|below|under|underneath|beneath|between|on (the )?top of|each other|together)\b"
        r"|\bon (a|an|the|another|other|blue|black|yellow)\b(?! top)",
        "There is a black block on a yellow block",
    ),
    Kind(
        "comparison of boxes",
        "same, different, each, all, every, least number",
        r"\b(same|different|each|all|every|both|(least|most|odd) number)\b",
        "There are at least two towers with the same height",
    ),
    Kind("several phrases", "and", r"\band\b", "There is a box with a blue circle and a blue triangle"),
    Kind("length", "up to 7 words", r"^\S+( \S+){0,6}$", "There are 2 black blocks"),
    Kind("length", "8 to 11 words", r"^\S+( \S+){7,10}$", "There is a yellow block as the top of a tower"),
    Kind(
        "length", "12 words or more", r"^\S+( \S+){11,}$", "There is a box with 3 items and a yellow one on top of it"
    ),
)
SCENES = ("scattered", "towers")
WORDINGS = ("not seen in training", "seen in training")


def kinds_of(text: str, towers: bool, seen: bool) -> tuple[tuple[str, str], ...]:
    """All kinds that a sentence is of, as (group, kind)."""
    words = " ".join(split_words(text))
    patterns = [(kind.group, kind.name) for kind in KINDS if re.search(kind.pattern, words)]
    return ("scene", SCENES[towers]), *patterns, ("wording", WORDINGS[seen])
