"""The pictures that a user's own table names or holds: an image id for each, and the way to the picture."""

import hashlib
import os
import posixpath
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import datasets

from lxmert.detection.image_sources import SUFFIXES, IdsOfFiles, ImageFolder
from lxmert.processing.region_extractor import ImageInput
from lxmert.training.own_answers import readable


class OwnImages(Protocol):
    """Knows the image ids of a table's pictures.

    Attributes:
        images: the pictures asked for so far, or their paths, by image id.
    """

    images: Mapping[str, ImageInput]

    def find(self, value: Any, column: str, row: int) -> str:
        """The image id of a value.

        Args:
            value: a picture's name or id, or the picture itself.
            column: of a data set, where the picture lies.
            row: likewise.

        Raises:
            ValueError: it names or holds no picture; says what to do.
        """


class NamedImages:
    """Names of pictures that lie elsewhere: the names without a picture's suffix are the ids, the pictures unknown."""

    images: Mapping[str, ImageInput] = {}

    def find(self, value: Any, column: str, row: int) -> str:
        """See `OwnImages`."""
        return _without_suffix(_name(value))


class FolderImages:
    """Pictures in a folder and its sub-folders, named with or without their suffixes.

    Args:
        folder: of the pictures.
        ids: "stem" takes a path in the folder without its suffix as the image id, "path" all of it.

    Raises:
        NotADirectoryError: no such folder.
        ValueError: no picture in it, or two with one id.
    """

    def __init__(self, folder: str | Path, ids: IdsOfFiles = "stem"):
        self._found: dict[str, ImageInput] = {}
        self.images: Mapping[str, ImageInput] = self._found
        self._folder = Path(folder)
        source = ImageFolder(folder, ids)
        root = os.path.join(source.root, "")
        self._files = {
            source.where(number)[len(root) :].replace(os.sep, "/"): (image_id, source.where(number))
            for number, image_id in enumerate(source.ids.to_pylist())
        }
        self._by_stem: dict[str, list[str]] = {}
        for path in self._files:
            self._by_stem.setdefault(os.path.splitext(path)[0], []).append(path)
        self._alike: dict[str, str] | None = None  # made when a picture is missing
        self._inside: dict[str, str] | None = None

    def find(self, value: Any, column: str, row: int) -> str:
        """See `OwnImages`."""
        name = _name(value)
        path = self._path(name)
        if path is None:
            raise ValueError(f"there is no picture {name!r} in {self._folder}{self._hint(name)}")
        image_id, file = self._files[path]
        self._found[image_id] = file
        return image_id

    def _path(self, name: str) -> str | None:
        if os.path.isabs(name):
            name = os.path.relpath(name, self._folder.absolute())
        for spelt in (name, name.replace("\\", "/")):
            spelt = posixpath.normpath(spelt)
            if spelt in self._files:
                return spelt
            if len(same := self._by_stem.get(spelt, [])) == 1:
                return same[0]
            if same:
                raise ValueError(f"{name!r} may be {' or '.join(same)}: write it with its suffix")
        return None

    def _hint(self, name: str) -> str:
        """What may be meant, as an end of the sentence."""
        if name.startswith(("http://", "https://")):
            return ": fetch the pictures first, and name the files"
        spelt = posixpath.normpath(name.replace("\\", "/"))
        if same := self._by_stem.get(_without_suffix(spelt)):
            return f", but {same[0]!r}: correct the suffix"
        if self._alike is None:
            self._alike = {_folded(part): path for path in self._files for part in (path, os.path.splitext(path)[0])}
        if close := self._alike.get(_folded(spelt)) or self._alike.get(_folded(_without_suffix(spelt))):
            return f", but {close!r}, which differs in upper and lower case or in how accents are coded"
        if self._inside is None:
            self._inside = {posixpath.basename(part): path for part, path in self._alike.items()}
        base = _folded(posixpath.basename(spelt))
        close = self._inside.get(base) or self._inside.get(_without_suffix(base))
        return f", but {close!r}: name it by its path in the folder" if close else ""


class DatasetImages(Mapping[str, ImageInput]):
    """Pictures in a data set's rows, read where they are asked for only, as a file's bytes or its path.

    Args:
        dataset: its image columns not decoded.
        places: column and row of the picture by image id.
    """

    def __init__(self, dataset: datasets.Dataset, places: Mapping[str, tuple[str, int]]):
        self._dataset, self._places = dataset, places

    def __getitem__(self, image_id: str) -> ImageInput:
        column, row = self._places[image_id]
        value = self._dataset.select_columns([column])[row][column]
        return value["bytes"] or value["path"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class HeldImages:
    """Pictures that the rows of a data set hold.

    Without a column of ids, the picture's content makes its id, the same wherever the picture comes again.

    Args:
        dataset: its image columns not decoded.
        has_ids: `find` gets ids, not pictures.
    """

    def __init__(self, dataset: datasets.Dataset, has_ids: bool):
        self._places: dict[str, tuple[str, int]] = {}
        self._has_ids = has_ids
        self.images: Mapping[str, ImageInput] = DatasetImages(dataset, self._places)

    def find(self, value: Any, column: str, row: int) -> str:
        """See `OwnImages`."""
        image_id = _name(value) if self._has_ids else _content_id(value)
        self._places.setdefault(image_id, (column, row))
        return image_id


def _content_id(value: Any) -> str:
    """128 bits of a digest of the picture's file."""
    if not value or not (value["bytes"] or value["path"]):
        raise ValueError("holds no picture")
    content = value["bytes"]
    if not content:
        try:
            content = Path(value["path"]).read_bytes()
        except OSError as error:
            raise ValueError(f"its picture {value['path']} cannot be read: {error.strerror}") from error
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _name(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # whole numbers beside empty values
        value = int(value)
    if value is None or isinstance(value, float):
        raise ValueError("is empty: name the picture")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"must be the name of a picture, got {value!r:.80}")
    name = str(value).strip()
    if not readable(name):
        raise ValueError("is empty: name the picture")
    return name


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
