"""Modules of a package merged into a few flat ones: what some definitions need, found by following names."""

import ast
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from lxmert.hub.flat_imports import WIDTH, import_lines
from lxmert.hub.source_modules import Imported, SourceModule, Sources, Symbol


def flatten(entries: Sequence[Symbol], file_of: Mapping[str, str]) -> dict[str, str]:
    """Merge what the entries need into flat modules that import each other relatively, and nothing of their package.

    Statements at the top of the modules are copied as they stand, with the comments above them; what no entry needs
    stays out. Where two modules mean different things by one name, the second gets a number behind it.

    Args:
        entries: where to start.
        file_of: the flat module for each sub-package (`{"lxmert.processing": "processing_lxmert"}`), "" for all others.
            A flat module may import those that come before it here.

    Returns:
        The text of each flat module that something goes into.

    Raises:
        ValueError: sources that cannot be merged: two classes of one name, a module of the package used as an object,
            modules that need each other, a statement at the top of a module that binds no name.
    """
    sources = Sources()
    needed = _needed(entries, sources)
    order = list(dict.fromkeys(file_of.values()))
    home = {module: _file_of(module, file_of) for module in _in_order(needed, sources)}
    files = {name: _FlatFile(name) for name in order if name in home.values()}
    for module, name in home.items():
        files[name].add(sources[module], needed[module])
    texts = {}
    for name, file in files.items():
        earlier = {earlier: files[earlier] for earlier in order[: order.index(name)] if earlier in files}
        texts[name] = file.text(sources, home, earlier)
    return texts


class _FlatFile:
    """A file to be written.

    Attributes:
        name: of the module, without ".py".
        needed: for each module of the package that goes into it, the names that it must have, in the order to run.
        names: what the names at the file's top stand for.
    """

    def __init__(self, name: str):
        self.name = name
        self.needed: dict[str, set[str]] = {}
        self.names: dict[str, Symbol | Imported] = {}

    def add(self, source: SourceModule, needed: set[str]) -> None:
        """Give a module's definitions their names in this file."""
        self.needed[source.name] = needed
        for name in source.statements:
            if name in needed:
                self._allot(name, Symbol(source.name, name), source)

    def _allot(self, wanted: str, target: Symbol | Imported, source: SourceModule) -> str:
        """The name that stands in this file for what a module calls as wanted."""
        if target in self.names.values():
            return self.name_of(target)
        name, number = wanted, 1
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        own = isinstance(target, Symbol) and target.module == source.name
        if own and name != wanted and isinstance(source.statements[wanted][0], ast.ClassDef):
            raise ValueError(
                f"{target} and {self.names[wanted]} both go into {self.name}.py, and the names of classes are seen "
                "from outside: rename one of them."
            )
        self.names[name] = target
        return name

    def name_of(self, target: Symbol | Imported) -> str:
        """The name of what is in this file."""
        return next(name for name, there in self.names.items() if there == target)

    def text(self, sources: Sources, home: Mapping[str, str], earlier: Mapping[str, "_FlatFile"]) -> str:
        """Imports, then one module behind the other."""
        imports: dict[str, Imported] = {}
        early: set[str] = set()
        sections = []
        for module, names in self.needed.items():
            renamed = {}
            for name in sorted(names):
                target = sources.resolve(module, name)
                assert target is not None
                flat = self._allot(name, target, sources[module])
                if isinstance(target, Imported) or home[target.module] != self.name:
                    imports[flat] = _relative(target, module, home, earlier)
                    early |= set() if name in sources[module].late else {flat}
                if flat != name:
                    renamed[name] = flat
            sections.append(_section(sources[module], names, renamed))
        lines = import_lines(imports, early)
        return (f"{lines}\n\n" if lines else "") + "\n\n\n".join(sections) + "\n"


def _relative(
    target: Symbol | Imported, module: str, home: Mapping[str, str], earlier: Mapping[str, _FlatFile]
) -> Imported:
    """How a file imports what is not in it."""
    if isinstance(target, Imported):
        return target
    file = home[target.module]
    if file not in earlier:
        raise ValueError(f"{module} needs {target}, which goes into {file}, a file that comes later.")
    return Imported(f".{file}", earlier[file].name_of(target))


def _needed(entries: Iterable[Symbol], sources: Sources) -> dict[str, set[str]]:
    """Names that each module must define or import."""
    needed: dict[str, set[str]] = {}
    waiting = list(entries)
    while waiting:
        symbol = waiting.pop()
        names = needed.setdefault(symbol.module, set())
        if symbol.name in names:
            continue
        if symbol.name not in sources[symbol.module].statements:
            raise ValueError(f"{symbol.module} defines no {symbol.name}.")
        names.add(symbol.name)
        for name in sorted(sources[symbol.module].reads(symbol.name) - names):
            target = sources.resolve(symbol.module, name)
            if isinstance(target, Symbol):
                waiting.append(target)
            if target is not None and target != Symbol(symbol.module, name):
                names.add(name)
    return needed


def _file_of(module: str, file_of: Mapping[str, str]) -> str:
    package = ".".join(module.split(".")[:2])
    if package not in file_of and "" not in file_of:
        raise ValueError(f"{module} goes into none of the flat modules {', '.join(file_of.values())}.")
    return file_of[package] if package in file_of else file_of[""]


def _in_order(needed: Mapping[str, set[str]], sources: Sources) -> list[str]:
    """The modules, each behind those whose names must be there when it runs."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for module in sorted(needed):
        early = sorted(needed[module] & sources[module].imports.keys() - sources[module].late)
        targets = [sources.resolve(module, name) for name in early]
        graph.add(module, *(target.module for target in targets if isinstance(target, Symbol)))
    try:
        return list(graph.static_order())
    except CycleError as error:
        raise ValueError(f"Modules need each other in a circle: {' -> '.join(error.args[1])}.") from error


def _section(source: SourceModule, names: set[str], renamed: Mapping[str, str]) -> str:
    """A module's needed statements below its docstring as a comment."""
    about = [f"---- {source.name} ----", *(ast.get_docstring(source.tree) or "").splitlines()]
    text = "\n".join(textwrap.fill(line, WIDTH, initial_indent="# ", subsequent_indent="# ") or "#" for line in about)
    wanted = {statement for name in names for statement in source.statements.get(name, [])}
    before: ast.stmt | None = None
    for statement in [statement for statement in source.tree.body if statement in wanted]:
        text += "\n" * _gap(source, before, statement) + source.text(statement, renamed)
        before = statement
    return text


def _gap(source: SourceModule, before: ast.stmt | None, statement: ast.stmt) -> int:
    """Line breaks between two statements: as they stand in the module; around definitions as ruff has them."""
    if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in (before, statement)):
        return 3
    return 1 if before is not None and source.first_line(statement) == (before.end_lineno or 0) + 1 else 2
