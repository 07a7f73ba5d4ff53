"""A region store: the regions of many images in one `datasets` data set on disk, read row by row.

`region_rows` describes the columns, `region_shards` writes the files. `datasets.load_from_disk` opens a store too.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm.auto import tqdm

from lxmert.processing.id_index import IdIndex
from lxmert.processing.region_rows import LABEL_TYPES, FeaturesType, from_row
from lxmert.processing.region_shards import (
    DESCRIPTION_FILE,
    NAMES,
    STATE_FILE,
    RegionShards,
    publish,
    read_json,
    store_content,
)
from lxmert.processing.regions import NO_LABEL, Regions

FORMAT_VERSIONS = (1, 2)  # since 2 features may be float32


class RegionStore(Mapping[str, Regions]):
    """Read-only mapping from image ids to `Regions`, memory-mapped: opening it reads the ids only.

    Args:
        path: folder of a store that `RegionStore.create` or `extract_images` wrote.

    Raises:
        FileNotFoundError: no store there, or one whose extraction was not finished.
        ValueError: a store of a format that this version does not know, or a damaged file of it.

    Attributes:
        description: JSON values that say where the regions come from.
        features_dtype: type that features are stored in; `Regions` hold float32.
        object_names: names of the detector's object classes by id, if they were stored; the regions have them, too.
        attribute_names: likewise of its attributes.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        description_file = self.path / DESCRIPTION_FILE
        if not description_file.is_file():
            raise FileNotFoundError(f"{self.path} is no region store: it has no {DESCRIPTION_FILE}.")
        content = read_json(description_file)
        if content["format_version"] not in FORMAT_VERSIONS:
            raise ValueError(
                f"{self.path} has region store format {content['format_version']}, this version reads "
                f"{' and '.join(map(str, FORMAT_VERSIONS))}: extract the regions again."
            )
        if not (self.path / STATE_FILE).is_file():
            raise FileNotFoundError(
                f"{self.path} is no whole region store yet: its extraction was stopped, or still runs. Started again "
                "with the same arguments it goes on."
            )
        read_json(self.path / STATE_FILE)  # else `datasets` fails without its name
        self.description: dict[str, Any] = content["description"]
        self.features_dtype: FeaturesType = content.get("features_dtype", "float16")
        names = {name: None if (given := content.get(name)) is None else tuple(given) for name in NAMES}
        self.object_names, self.attribute_names = names["object_names"], names["attribute_names"]
        self._names = names
        with _without_progress_bar():
            self.dataset: datasets.Dataset = datasets.load_from_disk(str(self.path), keep_in_memory=False)
        self._rows = IdIndex(self.dataset.data.column("image_id"))

    @classmethod
    def create(
        cls,
        path: str | Path,
        regions: Iterable[Regions],
        description: dict[str, Any] | None = None,
        features_dtype: FeaturesType = "float16",
    ) -> "RegionStore":
        """Write regions, each with its `image_id`, to a new folder and open it.

        Rows are written as they come; the folder appears when all are there. A killed run leaves a hidden folder
        beside it, which the next one clears away.

        Args:
            path: a folder that does not exist yet.
            regions: one item per image; where they have names of classes, all have the same.
            description: JSON values that say where the regions come from, kept as `RegionStore.description`.
            features_dtype: "float16" takes half the space, "float32" loses nothing.

        Raises:
            FileExistsError: the folder is there already.
            ValueError: a missing or repeated `image_id`, differing names, or features that float16 cannot hold.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} exists: choose another folder or remove it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.parent / f".{path.name}.partial"
        shutil.rmtree(work, ignore_errors=True)  # what a killed run left
        work.mkdir()
        try:
            seen: set[str] = set()
            with RegionShards(work, features_dtype=features_dtype) as shards:
                for item in regions:
                    _check_id(item.image_id, seen)
                    shards.add(item)
            publish(work, store_content(description, features_dtype, shards.names))
            work.rename(path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return cls(path)

    def __getitem__(self, image_id: str) -> Regions:
        return from_row(self.dataset[self._row(image_id)], self.features_dtype, **self._names)

    def many(self, image_ids: Sequence[str]) -> list[Regions]:
        """The regions of several images in one read, in the order asked for.

        Raises:
            KeyError: an image that is not in the store.
        """
        distinct = list(dict.fromkeys(image_ids))
        columns = self.dataset[[self._row(image_id) for image_id in distinct]]
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        regions = {row["image_id"]: from_row(row, self.features_dtype, **self._names) for row in rows}
        return [regions[image_id] for image_id in image_ids]

    def check_labels(
        self, object_labels: int | None = None, attribute_labels: int | None = None, progress: bool = True
    ) -> None:
        """Look whether a model has a class for every label; of the rows only the ids of labels are read.

        Args:
            object_labels: number of the model's object classes, below which ids must lie; None does not look.
            attribute_labels: likewise of its attributes.
            progress: show a bar with time left, if it takes more than a second.

        Raises:
            ValueError: an id beyond the limit, or below -1; with store, image, field and value.
        """
        limits = {
            "object_ids": ("object_labels", object_labels),
            "attribute_ids": ("attribute_labels", attribute_labels),
        }
        wanted = {name: limit for name, limit in limits.items() if limit[1] is not None}
        total = len(wanted) * len(self)
        with tqdm(total=total, desc="Checking labels", unit=" rows", delay=1, disable=not progress) as bar:
            for name, (keyword, limit) in wanted.items():
                start = 0
                for chunk in self.dataset.data.column(name).chunks:
                    if found := _first_outside(chunk, limit or 0):
                        row, region, value = found
                        image_id = self.dataset.data.column("image_id")[start + row].as_py()
                        raise ValueError(
                            f"{self.path}, image {image_id!r}: {name} is {value} in region {region}, but must be -1 "
                            f"for no label, or lie below {keyword} {limit}: raise {keyword}, or take regions of the "
                            "detector that it belongs to."
                        )
                    start += len(chunk)
                    bar.update(len(chunk))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: object) -> bool:
        return self._rows.find(image_id) is not None

    def _row(self, image_id: str) -> int:
        if (row := self._rows.find(image_id)) is None:
            raise KeyError(f"Image {image_id!r} is not among the {len(self)} images of the region store {self.path}.")
        return row


def _first_outside(column: pa.BinaryArray, limit: int) -> tuple[int, int, int] | None:
    """Row, region and value of the first id that is neither -1 nor in [0, limit)."""
    lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy()
    ends = (lengths // np.dtype(LABEL_TYPES["object_ids"]).itemsize).cumsum()
    joined = b"".join(column.drop_null().to_pylist())
    ids = np.frombuffer(joined, LABEL_TYPES["object_ids"])  # (sum of the rows' regions,)
    outside = np.flatnonzero((ids < NO_LABEL) | (ids >= limit))
    if not len(outside):
        return None
    place = int(outside[0])
    row = int(np.searchsorted(ends, place, side="right"))
    return row, place - int(ends[row - 1] if row else 0), int(ids[place])


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Opening takes a moment; a bar of its own would only puzzle."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _check_id(image_id: str | None, seen: set[str]) -> None:
    if image_id is None or image_id in seen:
        problem = "has no image_id" if image_id is None else f"repeats the image_id {image_id!r}"
        raise ValueError(f"Regions number {len(seen)} {problem}: every image of a store needs its own.")
    seen.add(image_id)
