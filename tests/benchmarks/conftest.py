"""What tests of benchmarks share: their programs belong to no package."""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def load_benchmark() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a file of benchmarks/ as when it is run, with its neighbours beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in set(sys.modules) - before:
        if name.startswith(("nlvr", "speed", "growth", "region_")):
            del sys.modules[name]
