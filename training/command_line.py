"""What programs share that take recipes from a command line."""

import sys
import traceback
from argparse import Namespace
from pathlib import Path
from types import TracebackType
from typing import Any

OURS = Path(__file__).parent.parent  # the checkout's root, or the installed package


def show_plain_errors() -> None:
    """From now on, errors that this package raises over bad input end a program with their message alone.

    So do files that are not there, whoever misses them. Other errors keep their traceback, and so does everything else
    than a `ValueError`, `TypeError` or `OSError`.
    """
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    frames = traceback.extract_tb(trace)
    ours = frames and Path(frames[-1].filename).parent.parent == OURS
    if issubclass(kind, KeyboardInterrupt):
        print("\nStopped.", file=sys.stderr)
    elif issubclass(kind, OSError) or (ours and issubclass(kind, ValueError | TypeError)):
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def sections(arguments: Namespace) -> dict[str, dict[str, Any]]:
    """The sections of a recipe that a command line speaks of: what was given for `section.field`.

    Example:
        >>> sections(Namespace(**{"output": "runs", "training.epochs": 4, "start.bert": None}))
        {'training': {'epochs': 4}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in vars(arguments).items():
        section, dot, entry = name.partition(".")
        if dot and value is not None:
            found.setdefault(section, {})[entry] = value
    return found
