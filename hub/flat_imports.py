"""Import statements in the order of isort."""

import sys
from collections.abc import Collection, Mapping

from lxmert.hub.source_modules import Imported

WIDTH = 120


def import_lines(imports: Mapping[str, Imported], early: Collection[str]) -> str:
    """The text that imports everything once: standard library, packages, siblings.

    Args:
        imports: what each local name stands for; siblings have a dot before their module's name.
        early: names that are needed when the module runs. The others are for type checkers; transformers' loader of
            remote code demands every package that is imported outside of `try`, so they stand inside.
    """
    needed = {name: found for name, found in imports.items() if name in early}
    late = {name: found for name, found in imports.items() if name not in early}
    if late:
        needed["TYPE_CHECKING"] = Imported("typing", "TYPE_CHECKING")
    groups: list[dict[str, Imported]] = [{}, {}, {}]
    for name, found in needed.items():
        groups[_group(found.module)][name] = found
    blocks = ["\n".join(_statements(group)) for group in groups if group]
    if late:
        lines = "".join(f"        {line}\n" for statement in _statements(late) for line in statement.splitlines())
        blocks.append(f"if TYPE_CHECKING:\n    try:\n{lines}    except ImportError:\n        raise")
    return "\n\n".join(blocks)


def _group(module: str) -> int:
    if module.startswith("."):
        return 2
    return 0 if module.partition(".")[0] in sys.stdlib_module_names else 1


def _statements(imports: Mapping[str, Imported]) -> list[str]:
    """`import` before `from ... import`, each sorted; what gets another name has a statement of its own."""
    plain: list[str] = []
    named: list[tuple[str, str]] = []
    members: dict[str, list[str]] = {}
    for local, found in imports.items():
        renamed = "" if local == (found.name or found.module) else f" as {local}"
        if found.name is None:
            plain.append(f"import {found.module}{renamed}")
        elif renamed:
            named.append((found.module, f"from {found.module} import {found.name}{renamed}"))
        else:
            members.setdefault(found.module, []).append(found.name)
    for module, names in members.items():
        names.sort(key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))
        line = f"from {module} import {', '.join(names)}"
        if len(line) > WIDTH:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
        named.append((module, line))
    return sorted(plain) + [line for _, line in sorted(named)]
