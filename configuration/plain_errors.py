"""Validation errors as the `ValueError` and `TypeError` that Python users expect and catch."""

import difflib
import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError

Class = TypeVar("Class", bound=type)


def with_plain_errors(cls: Class) -> Class:
    """Class decorator, placed above `@strict`: a failed validation raises its cause.

    `huggingface_hub`'s strict dataclasses raise `StrictDataclassError`, which is neither a `ValueError` nor a
    `TypeError`. The decorated class raises the error of the validator itself, its message headed by the class's name.
    """
    for method in ("__init__", "__setattr__"):
        setattr(cls, method, _raising_the_cause(cls.__name__, getattr(cls, method)))
    return cls


def _raising_the_cause(class_name: str, method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def wrapper(*arguments: Any, **keywords: Any) -> None:
        try:
            method(*arguments, **keywords)
        except StrictDataclassError as error:
            kind = TypeError if isinstance(error.__cause__, TypeError) else ValueError
            raise kind(f"{class_name}: {error.__cause__}") from error

    return wrapper


def refuse_misspelt(caller: str, keywords: Collection[str], known: Collection[str]) -> None:
    """Refuse keywords of a loader that are nearly a field; others may be the loader's own (revision, token, ...).

    Raises:
        TypeError: naming the fields that were meant.
    """
    misspelt = {name for name in set(keywords) - set(known) if difflib.get_close_matches(name, known, n=1, cutoff=0.85)}
    if misspelt:
        raise TypeError(unknown_keywords_message(caller, misspelt, known) + ".")


def unknown_keywords_message(caller: str, unknown: Collection[str], known: Collection[str]) -> str:
    """Names every unknown keyword of a call together with the nearest known one, where one is near."""
    hints = []
    for name in sorted(unknown):
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hints.append(f"`{name}`" + (f" (did you mean `{nearest[0]}`?)" if nearest else ""))
    return f"{caller} got unknown keyword{'s' if len(hints) > 1 else ''} {', '.join(hints)}"
