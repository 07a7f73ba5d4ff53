"""A region store: the regions of many images in one `datasets` data set on disk, read row by row.

| column | type | holds |
|---|---|---|
| `image_id` | string | the image's name, unique in the store |
| `image_height`, `image_width` | int32 | pixels |
| `features` | binary | R x D little-endian float16 |
| `boxes` | binary | R x 4 little-endian float32, pixels |
| `object_ids`, `attribute_ids` | binary or null | R little-endian int32 |
| `object_scores`, `attribute_scores` | binary or null | R little-endian float32 |

Binary columns, because a row of them becomes an array without a copy, some twenty times faster than `Array2D`.
`datasets.load_from_disk` opens a store too.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.arrow_writer import ArrowWriter
from tqdm.auto import tqdm

from lxmert.processing.id_index import IdIndex
from lxmert.processing.regions import NO_LABEL, Regions

FORMAT_VERSION = 1
DESCRIPTION_FILE = "region_store.json"
LABEL_TYPES = {"object_ids": "<i4", "object_scores": "<f4", "attribute_ids": "<i4", "attribute_scores": "<f4"}
FEATURES = datasets.Features(
    {"image_id": datasets.Value("string")}
    | {name: datasets.Value("int32") for name in ("image_height", "image_width")}
    | {name: datasets.Value("binary") for name in ("features", "boxes", *LABEL_TYPES)}
)


class RegionStore(Mapping[str, Regions]):
    """Read-only mapping from image ids to `Regions`, memory-mapped: opening it reads the ids only.

    Args:
        path: folder of a store that `RegionStore.create` wrote.

    Raises:
        FileNotFoundError: no store there.
        ValueError: a store of a format that this version does not know.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        description_file = self.path / DESCRIPTION_FILE
        if not description_file.is_file():
            raise FileNotFoundError(f"{self.path} is no region store: it has no {DESCRIPTION_FILE}.")
        content = json.loads(description_file.read_text())
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{self.path} has region store format {content['format_version']}, this version reads "
                f"{FORMAT_VERSION}: extract the regions again."
            )
        self.description: dict[str, Any] = content["description"]
        self.dataset: datasets.Dataset = datasets.load_from_disk(str(self.path))
        self._rows = IdIndex(self.dataset.data.column("image_id"))

    @classmethod
    def create(
        cls, path: str | Path, regions: Iterable[Regions], description: dict[str, Any] | None = None
    ) -> "RegionStore":
        """Write regions, each with its `image_id`, to a new folder and open it.

        Rows are written as they come; the folder appears when all are there. A killed run leaves a hidden folder
        beside it, which the next one clears away.

        Args:
            path: a folder that does not exist yet.
            regions: one item per image.
            description: JSON values that say where the regions come from, kept as `RegionStore.description`.

        Raises:
            FileExistsError: the folder is there already.
            ValueError: a missing or repeated `image_id`, or features that float16 cannot hold.
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
            with ArrowWriter(path=str(work / "rows.arrow"), features=FEATURES) as writer:
                for item in regions:
                    writer.write(_to_row(item, seen))
                writer.finalize()
            with _without_progress_bar():
                datasets.Dataset.from_file(str(work / "rows.arrow")).save_to_disk(str(work / "store"))
            content = {"format_version": FORMAT_VERSION, "description": description or {}}
            (work / "store" / DESCRIPTION_FILE).write_text(json.dumps(content, indent=2) + "\n")
            (work / "store").rename(path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return cls(path)

    def __getitem__(self, image_id: str) -> Regions:
        return _from_row(self.dataset[self._row(image_id)])

    def many(self, image_ids: Sequence[str]) -> list[Regions]:
        """The regions of several images in one read, in the order asked for.

        Raises:
            KeyError: an image that is not in the store.
        """
        distinct = list(dict.fromkeys(image_ids))
        columns = self.dataset[[self._row(image_id) for image_id in distinct]]
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        regions = {image_id: _from_row(row) for image_id, row in zip(distinct, rows, strict=True)}
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
    """Copying the finished rows takes a moment; a second bar would only puzzle."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _to_row(regions: Regions, seen: set[str]) -> dict[str, Any]:
    image_id = regions.image_id
    if image_id is None or image_id in seen:
        problem = "has no image_id" if image_id is None else f"repeats the image_id {image_id!r}"
        raise ValueError(f"Regions number {len(seen)} {problem}: every image of a store needs its own.")
    seen.add(image_id)
    with np.errstate(over="ignore"):  # refused below, in words
        features = regions.features.astype("<f2")
    if not np.isfinite(features).all():
        raise ValueError(
            f"features of image {image_id!r} reach {np.abs(regions.features).max():g}, beyond float16: scale them down."
        )
    labels = {
        name: None if (value := getattr(regions, name)) is None else value.astype(dtype).tobytes()
        for name, dtype in LABEL_TYPES.items()
    }
    return {
        "image_id": image_id,
        "image_height": regions.image_size[0],
        "image_width": regions.image_size[1],
        "features": features.tobytes(),
        "boxes": regions.boxes.astype("<f4").tobytes(),
        **labels,
    }


def _from_row(row: dict[str, Any]) -> Regions:
    boxes = np.frombuffer(row["boxes"], "<f4").reshape(-1, 4)
    return Regions(
        features=np.frombuffer(row["features"], "<f2").reshape(len(boxes), -1),
        boxes=boxes,
        image_size=(row["image_height"], row["image_width"]),
        image_id=row["image_id"],
        **{name: None if row[name] is None else np.frombuffer(row[name], dtype) for name, dtype in LABEL_TYPES.items()},
    )
