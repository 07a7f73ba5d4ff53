"""Regions from wherever they lie: stores, files of the original, folders of files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lxmert.processing.bottom_up import BottomUpFile
from lxmert.processing.joined_regions import JoinedRegions
from lxmert.processing.record_report import BadRows, RecordReport
from lxmert.processing.region_files import FILES_DESCRIPTION, RegionFiles
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import RegionSource


def open_regions(
    paths: Sequence[str | Path],
    cache_dir: str | Path | None = None,
    bad_rows: BadRows = "raise",
    object_labels: int | None = None,
    attribute_labels: int | None = None,
    report: RecordReport | None = None,
) -> RegionSource:
    """One mapping of all regions that lie at some paths.

    Args:
        paths: folders of a `RegionStore` or of `RegionFiles`, and TSV files of the original, mixed at will.
        cache_dir: folder for the indices of TSV files.
        bad_rows: "raise" at rows of TSV files that cannot be used, or "skip" them.
        object_labels: number of the model's object classes; None does not look at the regions' labels.
        attribute_labels: likewise of its attributes.
        report: rows left out are counted there.

    Raises:
        ValueError: no path, rows that cannot be used, or an image in two places.
        FileNotFoundError: nothing there, or no regions.
    """
    parts: list[Any] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there: give region stores (folders) or TSV files of the original.")
        if path.is_dir() and (path / FILES_DESCRIPTION).is_file():
            parts.append(RegionFiles(path))
        elif path.is_dir():
            store = RegionStore(path)
            if object_labels is not None or attribute_labels is not None:
                store.check_labels(object_labels, attribute_labels)
            parts.append(store)
        else:
            file = BottomUpFile(
                path, bad_rows, cache_dir, object_labels=object_labels, attribute_labels=attribute_labels
            )
            if report is not None:
                report.left_out.update({f"region row: {reason}": count for reason, count in file.skipped.items()})
            parts.append(file)
    if not parts:
        raise ValueError("There is no path of regions: give region stores (folders) or TSV files of the original.")
    return parts[0] if len(parts) == 1 else JoinedRegions(*parts)
