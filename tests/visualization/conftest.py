"""What tests of drawings share."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], list[Figure]]:
    """Collects the figures that a module draws from now on."""

    def watch(module: ModuleType) -> list[Figure]:
        drawn: list[Figure] = []

        class Seen(Figure):
            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                super().__init__(*arguments, **keywords)
                drawn.append(self)

        monkeypatch.setattr(module, "Figure", Seen)
        return drawn

    return watch
