"""Where many pictures come from: a folder, a list of files, a `datasets` data set, a mapping in memory."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol, get_args

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lxmert.processing.region_extractor import ImageInput

# fmt: off
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)
# fmt: on
ID_COLUMNS = ("image_id", "img_id")
IdsOfFiles = Literal["stem", "path"]
RepeatedIds = Literal["raise", "first"]


class ImageSource(Protocol):
    """Pictures by number, each with an id. Worker processes get a copy, so it holds no pictures itself.

    Attributes:
        name: what it is, the same in every run.
        choices: what of it was chosen, by the names of the arguments: with others it is another source.
        ids: (N,) strings, all different.
        others: number of files beside the pictures that are none by their names.
    """

    name: str
    choices: dict[str, str]
    others: int
    ids: pa.Array | pa.ChunkedArray

    def __getitem__(self, number: int, /) -> ImageInput:
        """One picture, or its path.

        Raises:
            ValueError, OSError: a picture that cannot be had.
        """

    def where(self, number: int, /) -> str:
        """Where a person finds the picture."""


class ImageFiles:
    """Picture files, ids from their paths.

    Args:
        root: what the paths are relative to.
        paths: of the files, with forward slashes.
        name: see `ImageSource`.
        ids: "stem" takes the path without its suffix, `train2014/COCO_train2014_000000000009`; "path" all of it.

    Raises:
        ValueError: no file, or two with one id.
    """

    others = 0

    def __init__(self, root: Path, paths: Iterable[str], name: str, ids: IdsOfFiles = "stem"):
        if ids not in get_args(IdsOfFiles):
            raise ValueError(f'ids must be "stem" or "path", got {ids!r}.')
        self.root, self.name = root, name
        self.choices: dict[str, str] = {"ids": ids}
        encoded = [os.fsencode(path) for path in paths]  # names of files need not be UTF-8
        self._paths = pa.array(encoded, pa.binary())
        if not len(self._paths):
            raise ValueError(f"{name} holds no picture.")
        self.ids = pa.array((_id_of(path, ids) for path in encoded), pa.string())
        if repeated := first_repeated(self.ids):
            files = " and ".join(self.where(number) for number in repeated)
            image_id = self.ids[repeated[0]].as_py()
            hint = ': keep their suffixes with ids="path", or rename one' if ids == "stem" else ""
            raise ValueError(f"{files} would both be image {image_id!r}{hint}.")

    def __getitem__(self, number: int) -> str:
        return self.where(number)

    def where(self, number: int) -> str:
        """The file's path."""
        return os.path.join(self.root, os.fsdecode(self._paths[number].as_py()))


class ImageFolder(ImageFiles):
    """All picture files in a folder and its sub-folders, by their suffixes; `others` counts the rest.

    Args:
        folder: to search; links are followed.
        ids: see `ImageFiles`.

    Raises:
        NotADirectoryError: no such folder.
        ValueError: no picture in it, or two with one id.
    """

    def __init__(self, folder: str | Path, ids: IdsOfFiles = "stem"):
        folder = Path(folder)
        if not folder.is_dir():
            raise NotADirectoryError(f"There is no folder {folder}.")
        super().__init__(folder, sorted(self._scan(folder)), str(folder.resolve()), ids)

    def _scan(self, folder: Path) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for place, inner, names in os.walk(folder, followlinks=True):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:  # a link back to where it lies
                inner.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            inner.sort()  # of two ways to a folder the same is taken always
            relative = Path(place).relative_to(folder)
            for name in names:
                if name.lower().endswith(SUFFIXES):
                    yield (relative / name).as_posix()
                else:
                    self.others += 1


class ImageList(ImageFiles):
    """Picture files listed in a text file, one path a line; relative ones start at the list's folder.

    Args:
        file: the list.
        ids: see `ImageFiles`.

    Raises:
        FileNotFoundError: no such list.
        ValueError: no path in it, two with one id, or a picture in place of the list.
    """

    def __init__(self, file: str | Path, ids: IdsOfFiles = "stem"):
        file = Path(file)
        content = file.read_bytes()
        if file.name.lower().endswith(SUFFIXES) or b"\0" in content:
            raise ValueError(f"{file} is no list of pictures, but perhaps a picture itself: give its folder.")
        lines = (os.fsdecode(line.strip()) for line in content.splitlines())
        super().__init__(file.parent, filter(None, lines), str(file.resolve()), ids)


class ImageDataset:
    """The pictures of a `datasets` data set, decoded where they are needed only.

    Args:
        dataset: with a column of images, or of their paths.
        name: see `ImageSource`.
        image_column: its name; the only image column if left out.
        id_column: of strings or whole numbers; `image_id` or `img_id`, else the rows' numbers, if left out.
        repeated: "raise" refuses an id that comes twice; "first" takes its first row, for data sets with a row for each
            question.

    Raises:
        ValueError: no such column, or an id that comes twice.
        TypeError: a column without images, or of ids that are neither strings nor whole numbers.
    """

    others = 0

    def __init__(
        self,
        dataset: datasets.Dataset,
        name: str,
        image_column: str | None = None,
        id_column: str | None = None,
        repeated: RepeatedIds = "raise",
    ):
        if repeated not in get_args(RepeatedIds):
            raise ValueError(f'repeated must be "raise" or "first", got {repeated!r}.')
        column = _image_column(dataset, image_column)
        id_column = _id_column(dataset, id_column)
        self.name = name
        # not `repeated`: where "raise" passes, "first" is the same; the split is part of the name
        self.choices = {"image_column": column, "id_column": id_column or "numbers of the rows"}
        self.ids = _ids_of_rows(dataset, id_column)
        self._rows = np.arange(len(dataset))
        if twice := first_repeated(self.ids):
            if repeated == "raise":
                raise ValueError(
                    f"Rows {twice[0]} and {twice[1]} of {name} are both image {self.ids[twice[0]].as_py()!r}: choose "
                    'another id_column, or, if they show the same picture, repeated="first".'
                )
            _, self._rows = np.unique(self.ids.dictionary_encode().indices.to_numpy(), return_index=True)
            self.ids = self.ids.take(pa.array(self._rows))
        dataset = dataset.select_columns([column]).with_format(None)
        if isinstance(dataset.features[column], datasets.Image):
            dataset = dataset.cast_column(column, datasets.Image(decode=False))
        self._dataset, self._column = dataset, column

    def __getitem__(self, number: int) -> ImageInput:
        value = self._dataset[int(self._rows[number])][self._column]
        if isinstance(value, str):
            return value
        if value and value["bytes"]:
            return value["bytes"]
        if value and value["path"]:
            return value["path"]
        raise ValueError("The row holds no image.")

    def where(self, number: int) -> str:
        """The row of the data set."""
        return f"{self.name}, row {self._rows[number]}"


class ImageMapping:
    """Pictures in memory, or their paths, by image id.

    Args:
        images: not empty, every key a string.

    Raises:
        ValueError: no image, or an image id that is no string.
    """

    name = "memory"
    others = 0
    choices: dict[str, str] = {}

    def __init__(self, images: Mapping[str, ImageInput]):
        if not images or not all(isinstance(image_id, str) for image_id in images):
            raise ValueError("images must be pictures by image id, at least one, and every id a string.")
        self._images = images
        self.ids = pa.array(list(images), pa.string())

    def __getitem__(self, number: int) -> ImageInput:
        return self._images[self.ids[number].as_py()]

    def where(self, number: int) -> str:
        """The path if there is one, else the image id."""
        image = self[number]
        return str(image) if isinstance(image, (str, Path)) else self.ids[number].as_py()


def open_images(
    images: str | Path,
    image_column: str | None = None,
    id_column: str | None = None,
    split: str | None = None,
    ids: IdsOfFiles = "stem",
    repeated: RepeatedIds = "raise",
) -> ImageSource:
    """The source that a path or name means.

    Args:
        images: a folder of pictures, a folder by `datasets`' `save_to_disk`, a text file that lists pictures, or the
            name of a data set on the Hub.
        image_column: data sets only, see `ImageDataset`.
        id_column: likewise.
        split: data sets only: which part, such as "train".
        ids: files only, see `ImageFiles`.
        repeated: data sets only, see `ImageDataset`.

    Raises:
        ValueError: no picture, ids that come twice, a missing column, or a split that is not there.
    """
    path = Path(images)
    if path.is_file():
        return ImageList(path, ids)
    saved = path.is_dir() and any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if path.is_dir() and not saved:
        return ImageFolder(path, ids)
    if saved:
        found, name = datasets.load_from_disk(str(path)), str(path.resolve())
        if isinstance(found, datasets.DatasetDict):
            if split not in found:
                raise ValueError(f"split must be one of {', '.join(found)} in {path}, got {split!r}.")
            found = found[split]
    else:
        if split is None:
            raise ValueError(
                f"There is no file or folder {path}. For a data set of this name on the Hub, say which split to take, "
                "such as train."
            )
        found, name = datasets.load_dataset(str(images), split=split), str(images)
    return ImageDataset(found, f"{name} ({split})" if split else name, image_column, id_column, repeated)


def first_repeated(ids: pa.Array | pa.ChunkedArray) -> tuple[int, int] | None:
    """Numbers of the first two rows of an id that comes more than once."""
    if pc.count_distinct(ids).as_py() == len(ids):
        return None
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0]
    first = pc.index(ids, repeated).as_py()
    return first, pc.index(ids, repeated, start=first + 1).as_py()


def _id_of(path: bytes, ids: IdsOfFiles) -> str:
    text = path.decode(errors="backslashreplace")
    return os.path.splitext(text)[0] if ids == "stem" else text


def _image_column(dataset: datasets.Dataset, chosen: str | None) -> str:
    if chosen is not None and chosen not in dataset.column_names:
        raise ValueError(f"image_column {chosen!r} is not among the columns {', '.join(dataset.column_names)}.")
    images = [name for name, kind in dataset.features.items() if isinstance(kind, datasets.Image)]
    if chosen is None and len(images) != 1:
        found = ", ".join(images) or "none"
        raise ValueError(
            f"Say which image_column to take: image columns are {found}, of {', '.join(dataset.column_names)}."
        )
    column = chosen or images[0]
    if column not in images and dataset.features[column] != datasets.Value("string"):
        raise TypeError(f"image_column {column!r} must hold images or their paths, not {dataset.features[column]}.")
    return column


def _id_column(dataset: datasets.Dataset, chosen: str | None) -> str | None:
    if chosen is not None and chosen not in dataset.column_names:
        raise ValueError(f"id_column {chosen!r} is not among the columns {', '.join(dataset.column_names)}.")
    return chosen or next((name for name in ID_COLUMNS if name in dataset.column_names), None)


def _ids_of_rows(dataset: datasets.Dataset, column: str | None) -> pa.Array:
    if column is None:
        return pc.cast(pa.array(np.arange(len(dataset))), pa.string())
    values = dataset.select_columns([column]).with_format("arrow")[:][column]
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise TypeError(f"id_column {column!r} must hold strings or whole numbers, not {dataset.features[column]}.")
    if values.null_count:
        raise ValueError(f"id_column {column!r} has {values.null_count} rows without a value.")
    ids = pc.cast(values, pa.string())
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
