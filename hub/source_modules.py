"""Modules of a package as text: what each binds at its top, what it imports, and its statements under other names."""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Symbol:
    """A name that a module of the package defines at its top."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Imported:
    """What an import statement brings: a name of another module, or the module itself where `name` is None."""

    module: str
    name: str | None

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


class SourceModule:
    """One module of a package.

    Args:
        name: full name, such as "lxmert.processing.regions".

    Attributes:
        statements: those at its top, in their order, by the names they bind.
        imports: what it imports at its top, by local name; of its own package also what functions import.
        late: names among `imports` that are not there while the module runs: of functions and for type checkers.

    Raises:
        ValueError: a statement at its top that binds no name, so that nobody can tell who needs it.
    """

    def __init__(self, name: str):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"{name} is no module with a source file.")
        self.name = name
        text = Path(spec.origin).read_bytes()
        self.lines = text.splitlines()
        self.tree = ast.parse(text)
        self.statements: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, Imported] = {}
        self.late: set[str] = set()
        self._inner: dict[ast.stmt, list[ast.Import | ast.ImportFrom]] = {}  # imports of the own package in statements
        for statement in self.tree.body:
            self._read(statement)

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._read_import(statement)
            return
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for inner in _imports(statement):
                self._read_import(inner, late=True)
            return
        package = self.name.partition(".")[0]
        for inner in _imports(statement):
            if any(module.partition(".")[0] == package for module in _modules(inner)):
                if isinstance(statement, ast.If | ast.Try):
                    raise ValueError(
                        f"{self._at(inner)} must stand at the top or in a function, not under a condition."
                    )
                self._inner.setdefault(statement, []).append(inner)
                self._read_import(inner, late=True)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):  # a docstring
            return
        names = list(_bound(statement)) or [name for name in _changed(statement) if name in self.statements]
        if not names:
            raise ValueError(f"{self._at(statement)} binds no name: nothing tells which definitions need it.")
        for name in names:
            self.statements.setdefault(name, []).append(statement)

    def _read_import(self, node: ast.Import | ast.ImportFrom, late: bool = False) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                if node.level or node.module is None or alias.name == "*":
                    raise ValueError(f"{self._at(node)} must name its module in full and each name.")
                found = Imported(node.module, alias.name)
            elif "." in alias.name and alias.asname is None:
                raise ValueError(f"{self._at(node)} must say `import {alias.name} as ...`.")
            else:
                found = Imported(alias.name, None)
            local = alias.asname or alias.name
            if late and local not in self.imports:
                self.late.add(local)
            elif not late:
                self.late.discard(local)
            if self.imports.setdefault(local, found) != found:
                raise ValueError(f"{self._at(node)} gives {local} a second meaning beside {self.imports[local]}.")

    def _at(self, node: ast.stmt) -> str:
        return f"{self.name}, line {node.lineno}: `{self.lines[node.lineno - 1].decode().strip()}`"

    def reads(self, name: str) -> set[str]:
        """Names that the statements which bind a name look up, those in annotations that are strings included."""
        found: set[str] = set()
        for statement in self.statements[name]:
            found |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            found.update(_quoted_names(statement))
        return found

    def first_line(self, statement: ast.stmt) -> int:
        """Where a statement begins: at the comment above it, or its first decorator."""
        first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", [])))
        while first > 1 and self.lines[first - 2].startswith(b"#"):
            first -= 1
        return first

    def text(self, statement: ast.stmt, renamed: Mapping[str, str]) -> str:
        """A statement with the comments above it, without imports of its own package.

        Args:
            statement: one of `statements`.
            renamed: names at the module's top that are to be written otherwise.

        Raises:
            ValueError: a renamed name that the statement also uses for something of its own.
        """
        last = statement.end_lineno or statement.lineno
        lines = {line: self.lines[line - 1] for line in range(self.first_line(statement), last + 1)}
        places = sorted(self._places(statement, renamed), reverse=True) if renamed else []
        for line, column, name in places:
            old, new = name.encode(), renamed[name].encode()
            if lines[line][column : column + len(old)] != old:  # Python 3.11 misplaces names in f-strings of many lines
                raise ValueError(f"{self.name}, line {line}: cannot write {name} as {renamed[name]}: rename it there.")
            lines[line] = lines[line][:column] + new + lines[line][column + len(old) :]
        for node in self._inner.get(statement, []):
            self._take_out(node, statement, lines)
        return b"\n".join(lines[line] for line in sorted(lines)).decode()

    def _take_out(self, node: ast.stmt, statement: ast.stmt, lines: dict[int, bytes]) -> None:
        """Remove an import; a block that holds nothing else keeps a `pass`."""
        blocks = [
            getattr(inner, kind, None) for inner in ast.walk(statement) for kind in ("body", "orelse", "finalbody")
        ]
        block = next(block for block in blocks if isinstance(block, list) and node in block)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            del lines[line]
        if set(block) <= set(self._inner[statement]) and node is block[-1]:
            lines[node.lineno] = b" " * node.col_offset + b"pass"

    def _places(self, statement: ast.stmt, renamed: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
        """Line, column in bytes and name wherever a name that is to be renamed stands."""
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name in renamed:
            found = re.match(rb"(async )?(def|class) +", self.lines[statement.lineno - 1])
            assert found is not None
            yield statement.lineno, found.end(), statement.name
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id in renamed:
                yield node.lineno, node.col_offset, node.id
        own = {alias.asname or alias.name for node in self._inner.get(statement, []) for alias in node.names}
        inner = (set(_bound_inside(statement)) - own) | set(_quoted_names(statement))
        if confused := sorted(inner & renamed.keys()):
            raise ValueError(
                f"{self.name}: {confused[0]} at its top must be written {renamed[confused[0]]} beside other modules, "
                f"but line {statement.lineno} and following use the name for something else: rename one of them."
            )


class Sources(dict[str, SourceModule]):
    """The modules of a package by full name, each read when it is first asked for."""

    def __missing__(self, name: str) -> SourceModule:
        self[name] = SourceModule(name)
        return self[name]

    def resolve(self, module: str, name: str) -> Symbol | Imported | None:
        """What a name means at the top of a module: a definition of the package, something from outside, or nothing.

        Raises:
            ValueError: a module of the package that is used as an object.
        """
        source = self[module]
        if name in source.statements:
            return Symbol(module, name)
        found = source.imports.get(name)
        if found is None or found.module.partition(".")[0] != module.partition(".")[0]:
            return found
        inside = None if found.name is None else self.resolve(found.module, found.name)
        if inside is None:
            raise ValueError(f"{module} imports the module {found} as an object: import the names that it uses.")
        return inside


def _imports(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top of a module binds there."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.If | ast.Try):
        for inner in ast.iter_child_nodes(statement):
            for node in inner.body if isinstance(inner, ast.ExceptHandler) else [inner]:
                if isinstance(node, ast.stmt):
                    yield from _bound(node)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """The name that a call or an assignment to its parts is about: `A` of `A.register(...)`, `A.b = 1`, `A += 1`."""
    node: ast.AST | None = None
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        node = statement.value.func
    elif isinstance(statement, ast.Assign):
        node = statement.targets[0]
    elif isinstance(statement, ast.AugAssign):
        node = statement.target
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _bound_inside(node: ast.AST) -> Iterator[str]:
    """Names that are bound inside a statement other than by assignment; methods are no names of their own."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.arg):
            yield child.arg
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not isinstance(node, ast.ClassDef):
                yield child.name
        elif isinstance(child, ast.ExceptHandler) and child.name:
            yield child.name
        elif isinstance(child, ast.Global | ast.Nonlocal):
            yield from child.names
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in child.names)
        yield from _bound_inside(child)


def _quoted_names(statement: ast.stmt) -> Iterator[str]:
    """Names inside the strings of annotations."""
    for node in ast.walk(statement):
        for kind in ("annotation", "returns"):
            if (annotation := getattr(node, kind, None)) is not None:
                yield from _names_in_strings(annotation)


def _names_in_strings(annotation: ast.AST) -> Iterator[str]:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        yield from (node.id for node in ast.walk(ast.parse(annotation.value)) if isinstance(node, ast.Name))
    for child in ast.iter_child_nodes(annotation):
        yield from _names_in_strings(child)
