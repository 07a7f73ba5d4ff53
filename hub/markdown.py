"""Texts of others in Markdown: shown as they are, on one line."""

import re

SPECIAL = re.compile(r"[\\`*_\[\]<>|#!~$&]")


def one_line(text: object) -> str:
    r"""A text as prose or in a cell of a table: nothing in it is markup, HTML, a formula or a line break.

    Example:
        >>> print(one_line("a|b, *not* bold"))
        a\|b, \*not\* bold
    """
    return SPECIAL.sub(r"\\\g<0>", " ".join(str(text).split()))


def code_span(text: str) -> str:
    """A text as code inside a line, its backticks included."""
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"
