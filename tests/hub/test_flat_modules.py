"""Modules of made-up packages merged into flat ones, which are then imported."""

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lxmert.hub.flat_modules import flatten
from lxmert.hub.source_modules import Symbol

Make = Callable[..., str]
NUMBERS = itertools.count()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes a package of a new name, `TOY` in the texts, and gives the name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules: str) -> str:
        package = f"toy{next(NUMBERS)}"
        for name, text in {"": "", **modules}.items():
            path = tmp_path.joinpath(package, *name.split("__"))
            has_modules = any(other.startswith(f"{name}__") for other in modules)
            path = path / "__init__.py" if not name or has_modules else path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("TOY", package))
        importlib.invalidate_caches()
        return package

    return write


def flat(package: str, *entries: str, **file_of: str) -> dict[str, str]:
    """Entries are written "module.Name"."""
    symbols = [Symbol(f"{package}.{module}", name) for module, _, name in (entry.rpartition(".") for entry in entries)]
    files = {f"{package}.{folder}": file for folder, file in file_of.items()} | {"": "rest"}
    return flatten(symbols, files)


def imported(texts: dict[str, str], tmp_path: Path, name: str = "rest") -> ModuleType:
    """The flat modules as a package that has nothing else."""
    package = f"flat{next(NUMBERS)}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    for file, text in texts.items():
        (tmp_path / package / f"{file}.py").write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module(f"{package}.{name}")


def test_what_is_needed_is_copied_as_it_stands(make: Make) -> None:
    package = make(
        tables='"""Tables.\n\nOf numbers."""\nimport os\n\n# why 3\nSIZE = 3  # rows\nUNUSED = os.sep\n',
        top='"""The top."""\nfrom TOY.tables import SIZE\n\n\ndef grow(n):\n    """Up."""\n    return n + SIZE  # so\n',
    )
    assert flat(package, "top.grow")["rest"] == (
        f"# ---- {package}.tables ----\n# Tables.\n#\n# Of numbers.\n\n# why 3\nSIZE = 3  # rows\n\n\n"
        f"# ---- {package}.top ----\n# The top.\n\n\n"
        'def grow(n):\n    """Up."""\n    return n + SIZE  # so\n'
    )


def test_names_of_two_meanings_are_told_apart(make: Make, tmp_path: Path) -> None:
    package = make(
        one=(
            "import math as m\n\nLIMIT = 1\n\n\ndef _sum(a):\n    return m.floor(a) + LIMIT\n\n\n"
            "def one(a):\n    return _sum(a)\n"
        ),
        two=(
            "import operator as m\n\nfrom TOY.one import one\n\nLIMIT = 'two'\n\n\n@staticmethod\ndef _sum(a):\n"
            "    return f'{m.neg(a)} {LIMIT}'\n\n\ndef two(a):\n    return one(a), _sum(a), {'LIMIT': LIMIT}\n"
        ),
    )
    texts = flat(package, "two.two")
    assert "def _sum_2(a):" in texts["rest"]
    assert "import operator as m_2" in texts["rest"]
    assert imported(texts, tmp_path).two(2.5) == (3, "-2.5 two", {"LIMIT": "two"})


def test_imports_in_functions_are_followed_and_taken_out(make: Make, tmp_path: Path) -> None:
    package = make(
        late="from TOY.top import Thing\n\n\ndef name(thing: Thing) -> str:\n    return type(thing).__name__\n",
        top=(
            "class Thing:\n    def name(self):\n        try:\n            from TOY.late import name\n"
            "        except ImportError as error:\n            raise error\n        return name(self)\n"
        ),
    )
    texts = flat(package, "top.Thing")
    assert package not in "\n".join(line for line in texts["rest"].splitlines() if not line.startswith("#"))
    assert "        try:\n            pass\n" in texts["rest"]
    assert imported(texts, tmp_path).Thing().name() == "Thing"


def test_packages_for_type_checkers_are_not_demanded(make: Make, tmp_path: Path) -> None:
    package = make(
        top=(
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from nowhere import Axes\n\n\n"
            'def draw(ax: "Axes | None") -> "Axes | None":\n    return ax\n'
        )
    )
    texts = flat(package, "top.draw")
    assert "if TYPE_CHECKING:\n    try:\n        from nowhere import Axes\n" in texts["rest"]
    assert imported(texts, tmp_path).draw(1) == 1


def test_files_import_each_other_relatively(make: Make, tmp_path: Path) -> None:
    package = make(
        low="from TOY.low.base import Base\n",
        low__base="class Base:\n    kinds: list['Base'] = []\n\n\nBase.kinds.append(Base)\n",
        high="from TOY.low import Base\n\n\nclass High(Base):\n    pass\n",
    )
    texts = flat(package, "high.High", low="low_flat")
    assert list(texts) == ["low_flat", "rest"]
    assert "from .low_flat import Base\n" in texts["rest"]
    high = imported(texts, tmp_path).High
    assert high.kinds == list(high.__bases__)


REFUSED: list[tuple[dict[str, str], str]] = [
    (
        {"a": "class A:\n    pass\n", "top": "from TOY.a import A as B\n\n\nclass A(B):\n    pass\n"},
        r"a.A and .*top.A both go|top.A and .*a.A both go",
    ),
    (
        {"a": "x = 1\n", "top": "from TOY import a\n\n\ndef A():\n    return a.x\n"},
        "imports the module toy.*as an object",
    ),
    ({"a": "from TOY.top import A\nx = A\n", "top": "from TOY.a import x\nA = x\n"}, "in a circle"),
    ({"top": "A = 1\nprint(A)\n"}, "line 2: `print\\(A\\)` binds no name"),
    ({"top": "from os import *\nA = 1\n"}, "each name"),
    ({"top": "import os.path\nA = os.path\n"}, "import os.path as"),
    ({"top": "from os import sep as s\nfrom os import name as s\nA = s\n"}, "second meaning"),
    (
        {"a": "n = 1\n", "top": "from TOY.a import n as m\nn = 2\n\n\ndef A(n=n):\n    return n + m\n"},
        "n at its top must be written n_2",
    ),
    ({"top": "B = 1\n"}, "defines no A"),
    ({"top": "if True:\n    from TOY.a import A\n", "a": "A = 1\n"}, "not under a condition"),
]


@pytest.mark.parametrize(("modules", "words"), REFUSED)
def test_what_cannot_be_merged_is_refused(make: Make, modules: dict[str, str], words: str) -> None:
    package = make(**modules)
    with pytest.raises(ValueError, match=words):
        flat(package, "top.A")


def test_a_file_may_not_need_a_later_one(make: Make) -> None:
    package = make(low__base="from TOY.high import high\n\n\ndef base():\n    return high\n", high="high = 1\n")
    with pytest.raises(ValueError, match="which goes into rest, a file that comes later"):
        flat(package, "low.base.base", low="low_flat")


def test_a_module_without_a_place_is_named(make: Make) -> None:
    package = make(top="A = 1\n")
    with pytest.raises(ValueError, match=r"top goes into none of the flat modules low_flat"):
        flatten([Symbol(f"{package}.top", "A")], {f"{package}.low": "low_flat"})


def test_what_is_written_can_be_read_again(make: Make, tmp_path: Path) -> None:
    package: Any = make(top='WORD = "Größe"  # ä\n\n\ndef A():\n    return WORD, "ä", WORD\n')
    assert imported(flat(package, "top.A"), tmp_path).A() == ("Größe", "ä", "Größe")
