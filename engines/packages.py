"""The packages of the extra `export`, imported when something needs them and not before."""

import importlib
from functools import cache
from importlib.metadata import version
from typing import Any


def require(module: str) -> Any:
    """Import a module of the extra `export`.

    Raises:
        ImportError: it is not installed; says what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f"{package} is needed and missing ({error}): pip install lxmert[export]") from error


@cache
def openvino_core() -> Any:
    """The one `openvino.Core` of this process, which is never let go.

    Each gives the main thread a signal stack of its own and at its end puts back the one before. If that belonged to a
    core that ended sooner, its memory is gone, and the next signal kills the process: the end of a DataLoader's worker
    is enough.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return require("openvino").Core()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package."""
    return {package: version(package) for package in packages}
