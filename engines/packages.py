"""The packages of the extra `export`, imported when something needs them and not before."""

import importlib
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


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package."""
    return {package: version(package) for package in packages}
