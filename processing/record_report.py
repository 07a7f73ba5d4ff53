"""What was wrong with records: told at once as an error, or counted for the end of a run."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

BadRows = Literal["raise", "skip"]
SHOWN = 5
HOW_TO_SKIP = 'bad_rows="skip" (bad_rows: skip in a recipe)'


@dataclass(frozen=True)
class BadRow:
    """One thing wrong with one row: where it lies, the field, what came and what to do, and a short reason to count."""

    origin: str
    field: str
    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.origin}, {self.field}: {self.what}"


@dataclass
class RecordReport:
    """What records hold and what was left out of them; `str()` gives a text for the end of a run.

    Args:
        rows: number of rows by source.
        left_out: number of rows left out, by reason.
        answers_left_out: number of answers left out because the answer table lacks them; their sentences stay.
        ignored_fields: number of rows by the name of a field that means nothing here, perhaps a misspelt one.
        examples: the first few things wrong, in words.
    """

    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    answers_left_out: int = 0
    ignored_fields: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def count(self, bad_row: BadRow) -> None:
        """Note a row that is left out."""
        self.left_out[bad_row.reason] += 1
        self.show(bad_row)

    def show(self, bad_row: BadRow) -> None:
        """Keep it as an example, if it is among the first."""
        if len(self.examples) < SHOWN:
            self.examples.append(str(bad_row))

    def ignore(self, name: str) -> None:
        """Note a field that means nothing here."""
        self.ignored_fields[name] += 1

    def add(self, other: "RecordReport") -> None:
        """Add another report about other rows."""
        for mine, theirs in (
            (self.rows, other.rows),
            (self.left_out, other.left_out),
            (self.ignored_fields, other.ignored_fields),
        ):
            mine.update(theirs)
        self.answers_left_out += other.answers_left_out
        self.examples += other.examples[: SHOWN - len(self.examples)]

    def raise_if_bad(self) -> None:
        """Raise what was counted as one error.

        Raises:
            ValueError: something is wrong; names the first five and says how many more there are.
        """
        total = self.left_out.total() + self.answers_left_out
        if total:
            more = f"\n  and {total - len(self.examples):,} more" if total > len(self.examples) else ""
            raise ValueError(
                "records have bad rows:\n  "
                + "\n  ".join(self.examples)
                + f"{more}\nCorrect them, or leave them out with {HOW_TO_SKIP}."
            )

    def to_json(self) -> str:
        """The report as JSON, for `from_json`."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "RecordReport":
        """The report that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**(values | {name: Counter(values[name]) for name in ("rows", "left_out", "ignored_fields")}))

    def __str__(self) -> str:
        sources = ", ".join(f"{source} {count:,}" for source, count in self.rows.items())
        lines = [f"{self.rows.total():,} sentences" + (f" ({sources})" if sources else "")]
        if self.left_out:
            lines.append(f"{self.left_out.total():,} rows left out: {_by_name(self.left_out)}")
        if self.answers_left_out:
            lines.append(f"{self.answers_left_out:,} answers left out: not in the answer table")
        if self.ignored_fields:
            lines.append(f"fields ignored: {_by_name(self.ignored_fields)}")
        return "\n".join(lines + [f"  such as {example}" for example in self.examples])


def check_bad_rows(bad_rows: str) -> None:
    """Refuse another word than "raise" and "skip"."""
    if bad_rows not in ("raise", "skip"):
        raise ValueError(f'bad_rows must be "raise" or "skip", got {bad_rows!r}.')


def _by_name(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())
