"""What an extraction did: how many images, how fast, which were skipped and why."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from lxmert.processing.record_tables import printable, write_whole
from lxmert.processing.region_shards import write_json

REPORT_FILE = "report.json"
SKIPPED_FILE = "skipped.jsonl"
JOURNALS = "process-*-skipped.jsonl"


@dataclass(frozen=True)
class SkippedImage:
    """A picture that gave no regions.

    Args:
        image_id: its id.
        place: its path, or its row in a data set.
        reason: in a few words.
        message: the error in full.
    """

    image_id: str
    place: str
    reason: str
    message: str


@dataclass
class ExtractionReport:
    """What `extract_images` did; `print` shows it as a table.

    Args:
        path: folder of the store.
        images: number of pictures in the source.
        done: how many gave regions in this run.
        reused: how many lay in the store before.
        skipped: those that gave none, of this run and earlier ones.
        seconds: what this run took.
        processes: how many shared it.
        others: number of files beside the pictures that were not looked at, because of their names.
        skipped_now: how many of the skipped ones were tried in this run.
    """

    path: Path
    images: int
    done: int = 0
    reused: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    seconds: float = 0.0
    processes: int = 1
    others: int = 0
    skipped_now: int = 0

    @property
    def images_per_second(self) -> float:
        """Of those done in this run, over all processes."""
        return self.done / self.seconds if self.seconds else 0.0

    def reasons(self) -> dict[str, list[SkippedImage]]:
        """Skipped pictures by reason, the most frequent reason first."""
        found: dict[str, list[SkippedImage]] = {}
        for skipped in self.skipped:
            found.setdefault(skipped.reason, []).append(skipped)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))

    def save(self) -> None:
        """Write report.json into the store's folder."""
        counts = {reason: len(skipped) for reason, skipped in self.reasons().items()}
        figures: dict[str, Any] = {"images": self.images, "done": self.done, "reused": self.reused}
        figures |= {"skipped": len(self.skipped), "reasons": counts, "seconds": round(self.seconds, 3)}
        figures |= {"images_per_second": round(self.images_per_second, 3), "processes": self.processes}
        figures["others"] = self.others
        write_json(self.path / REPORT_FILE, figures)

    def __str__(self) -> str:
        pace = f" in {self.seconds:,.1f} s, {self.images_per_second:,.1f} images/s" if self.done else ""
        lines = [f"Regions of {self.done + self.reused:,} of {self.images:,} images are in {printable(self.path)}:"]
        lines += [f"  done     {self.done:>12,}{pace}", f"  reused   {self.reused:>12,}"]
        lines += [f"  skipped  {len(self.skipped):>12,}"]
        for reason, skipped in self.reasons().items():
            lines.append(f"    {len(skipped):>8,}  {reason}, such as {printable(skipped[0].place)}")
        if self.skipped:
            lines.append(f"  All that were skipped: {printable(self.path / SKIPPED_FILE)}")
            lines.append("  To try them again: --retry-skipped, or retry_skipped=True.")
        if self.others:
            lines.append(f"  Not looked at: {self.others:,} files whose names do not end like a picture's.")
        if not self.done and not self.skipped_now and self.reused + len(self.skipped) == self.images:
            lines.append("  There was nothing left to do.")
        return "\n".join(lines)


def write_skipped(file: Path, skipped: Iterable[SkippedImage]) -> None:
    """Write a list of skipped pictures, one a line, that is either the old one or the new one."""

    def write(work: Path) -> None:
        with work.open("w", encoding="utf-8") as opened:
            for item in skipped:
                append_skipped(opened, item)

    write_whole(file, write)


def append_skipped(file: IO[str], skipped: SkippedImage) -> None:
    """Add one line to a list of skipped pictures."""
    file.write(json.dumps(asdict(skipped)) + "\n")
    file.flush()


def read_skipped(folder: Path) -> list[SkippedImage]:
    """All skipped pictures in a store's folder, each once; a line that a kill cut off does not count."""
    found = {item.image_id: item for file in skipped_files(folder) for item in _lines(file)}
    return list(found.values())


def skipped_files(folder: Path) -> list[Path]:
    """The list of skipped pictures, and the journals of processes that were stopped or still run."""
    return [file for file in (folder / SKIPPED_FILE, *sorted(folder.glob(JOURNALS))) if file.is_file()]


def _lines(file: Path) -> Iterator[SkippedImage]:
    with file.open(encoding="utf-8", errors="replace") as opened:
        for line in opened:
            try:
                yield SkippedImage(**json.loads(line))
            except (ValueError, TypeError):
                continue
