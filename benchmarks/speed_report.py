"""A run's figures in a file that a stopped run goes on from, as a table, as CSV and as a picture."""

import csv
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from matplotlib.figure import Figure
from speed_rounds import TOLERANCES, Equality, Measurement, Row, Work

# What must be the same for figures to stand in one table.
FIXED = ("cpu", "gpu", "threads", "versions", "commit")
TABLE_HEAD = (
    "| precision | contestant | ms a pair (quartiles) | times as fast (quartiles) | goal | of the matrix rate "
    "| largest difference of logits | same answers | loss | gradient |\n" + "|---" * 10 + "|"
)


@dataclass
class Report:
    """Figures by work.

    Args:
        path: of the JSON file.
        settings: of the run.
        machine: from `describe_machine`.
        works: by name, the work's title, its rows and the rates of plain matrix products.
    """

    path: Path
    settings: dict[str, Any]
    machine: dict[str, Any]
    works: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: dict[str, Any], machine: dict[str, Any]) -> Self:
        """A new report, or the one in `path` if it is of the same settings, machine and versions.

        Raises:
            ValueError: it is of others.
        """
        report = cls(path, settings, machine)
        if path.exists():
            content = json.loads(path.read_text())
            fixed = {name: machine[name] for name in FIXED}
            wanted, found = settings | fixed, content["settings"] | {name: content["machine"][name] for name in FIXED}
            if other := [name for name in wanted if wanted[name] != found.get(name)]:
                differences = "; ".join(f"{name} {found.get(name)!r} there, {wanted[name]!r} now" for name in other)
                raise ValueError(
                    f"{path} holds figures measured otherwise ({differences}): choose another --output, or remove it."
                )
            for name, work in content["works"].items():
                report.works[name] = work | {"rows": [_row(row) for row in work["rows"]]}
        return report

    @property
    def rows(self) -> list[Row]:
        """Of all works."""
        return [row for work in self.works.values() for row in work["rows"]]

    def add(self, work: Work, measurement: Measurement) -> None:
        """Keep a work's figures, in the file too."""
        self.works[work.name] = {"title": work.title, "rows": measurement.rows, "rates": measurement.rates}
        works = {
            name: content | {"rows": [asdict(row) | {"counts": row.counts} for row in content["rows"]]}
            for name, content in self.works.items()
        }
        content = {"settings": self.settings, "machine": self.machine, "works": works}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.with_suffix(".partial")
        whole.write_text(json.dumps(content, indent=2) + "\n")
        whole.replace(self.path)


def _row(values: dict[str, Any]) -> Row:
    values = {item.name: values[item.name] for item in fields(Row)}
    for name in ("milliseconds_quartiles", "ratio_quartiles"):
        values[name] = tuple(values[name])
    if values["equality"] is not None:
        values["equality"] = Equality(**values["equality"])
    return Row(**values)


def table(report: Report) -> str:
    """Everything as Markdown: machine and versions, then a table for each work."""
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"\n{machine['gpu'] or machine['cpu']}, {machine['threads']} threads; {machine['date']}",
        f"{versions}; commit {machine['commit']}\n`{machine['command']}`",
    ]
    for name, work in report.works.items():
        rates = "; ".join(
            f"{precision} " + ", ".join(f"{rate / 1e9:,.0f} G/s ({shape})" for shape, rate in shapes.items())
            for precision, shapes in work["rates"].items()
        )
        rounds = work["rows"][0].rounds
        lines += [f"\n**{work['title']}** (`{name}`, {rounds} rounds; plain matrix products: {rates})\n", TABLE_HEAD]
        lines += [_line(row) for row in work["rows"]]
    lines.append(f"\nWithin tolerance: {tolerances()}. A ratio beyond it does not count.")
    return "\n".join(lines)


def tolerances() -> str:
    """The tolerances in words."""
    return "; ".join(
        f"{precision}: logits {value.logits:g}, loss {value.loss:g} of it, gradient {value.gradients:g} of its length"
        for precision, value in TOLERANCES.items()
    )


def _line(row: Row) -> str:
    ratio = _spread(row.ratio, row.ratio_quartiles, ".2f")
    if row.same_model and not row.counts:
        ratio += ", does not count"
    equality = row.equality
    if equality is None:
        same = ["reference" if row.same_model else "another model", "", "", ""]
    else:
        same = [f"{equality.logits:.1e}", f"{equality.same_answers:.0%}"]
        same += ["" if value is None else f"{value:.1e}" for value in (equality.loss, equality.gradients)]
    cells = [
        row.precision,
        row.contestant,
        _spread(row.milliseconds, row.milliseconds_quartiles, ".3g"),
        ratio,
        "" if row.goal is None else f"{row.goal:g}",
        "" if row.utilisation is None else f"{row.utilisation:.0%}",
        *same,
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(value: float, quartiles: tuple[float, float], form: str) -> str:
    return f"{value:{form}} ({quartiles[0]:{form}} to {quartiles[1]:{form}})"


def write_csv(report: Report, path: Path) -> None:
    """One line for each contestant of each work."""
    with path.open("w", newline="") as file:
        names = [item.name for item in fields(Row) if item.name != "equality"]
        compared = [f"difference_{item.name}" for item in fields(Equality)]
        writer = csv.writer(file)
        writer.writerow([*names, "counts", *compared])
        for row in report.rows:
            values = ["" if (value := getattr(row, name)) is None else value for name in names]
            values = [" to ".join(map(str, value)) if isinstance(value, tuple) else value for value in values]
            equality = asdict(row.equality) if row.equality is not None else dict.fromkeys(compared, "")
            writer.writerow([*values, row.counts, *("" if value is None else value for value in equality.values())])


def draw(report: Report, path: Path) -> None:
    """Bars of how many times as fast as the reference, quartiles as whiskers, goals as marks; a panel for each work."""
    heights = [len(work["rows"]) + 1.5 for work in report.works.values()]
    figure = Figure(figsize=(10, 0.32 * sum(heights) + 0.8), layout="constrained")
    panels = figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    colours = {"float32": "tab:blue", "bfloat16": "tab:orange"}
    for panel, work in zip(panels, report.works.values(), strict=True):
        rows: list[Row] = work["rows"]
        for place, row in enumerate(rows):
            below, above = row.ratio - row.ratio_quartiles[0], row.ratio_quartiles[1] - row.ratio
            fill = colours[row.precision] if row.counts else "none"
            panel.barh(
                place, row.ratio, xerr=[[max(below, 0)], [max(above, 0)]], color=fill, edgecolor=colours[row.precision]
            )
            label = f" {row.ratio:.2f}" if row.counts or not row.same_model else f" {row.ratio:.2f}, does not count"
            panel.text(max(row.ratio_quartiles[1], row.ratio), place, label, va="center", fontsize=8)
            if row.goal is not None:
                panel.plot([row.goal] * 2, [place - 0.45, place + 0.45], color="black", linewidth=2)
        panel.set_yticks(range(len(rows)), [f"{row.contestant}, {row.precision}" for row in rows], fontsize=8)
        panel.invert_yaxis()
        panel.axvline(1, color="grey", linewidth=0.8)
        panel.set_title(work["title"], loc="left", fontsize=10)
        panel.margins(x=0.15)
    figure.supxlabel(
        "times as fast as transformers' LXMERT in float32; black: the goal; hollow: another model, or other results",
        fontsize=9,
    )
    figure.savefig(path, dpi=150)
