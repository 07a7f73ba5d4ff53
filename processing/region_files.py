"""One file for each image: regions as safetensors or npz, for tools that know neither `datasets` nor base64."""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from lxmert.processing.record_tables import check_is_free, write_whole
from lxmert.processing.region_rows import LABEL_TYPES, FeaturesType, check_features_type, stored_features
from lxmert.processing.region_shards import NAMES, read_json, write_json
from lxmert.processing.regions import Regions

FileFormat = Literal["safetensors", "npz"]
FILES_DESCRIPTION = "region_files.json"
FORMAT_VERSION = 1
ARRAYS = ("image_size", "features", "boxes", *LABEL_TYPES)
EMPTY = "%"  # stands for an empty part of an id; `quote` never gives a lone percent sign


class RegionFiles(Mapping[str, Regions]):
    """Read-only mapping from image ids to `Regions` of a folder with one file for each image.

    Opening it lists the files' names; each look-up reads one file.

    Args:
        folder: that `write_region_files` wrote.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: files of a format that this version does not know.

    Attributes:
        description: JSON values that say where the regions come from.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder)
        description_file = self.path / FILES_DESCRIPTION
        if not description_file.is_file():
            raise FileNotFoundError(f"{self.path} is no folder of region files: it has no {FILES_DESCRIPTION}.")
        content = read_json(description_file)
        if content["format_version"] != FORMAT_VERSION or content["format"] not in get_args(FileFormat):
            raise ValueError(
                f"{self.path} has region files of format {content['format']} {content['format_version']}, this version "
                f"reads {', '.join(get_args(FileFormat))} {FORMAT_VERSION}: write them again."
            )
        self.format: FileFormat = content["format"]
        self.description: dict[str, Any] = content["description"]
        self.object_names, self.attribute_names = (content[name] and tuple(content[name]) for name in NAMES)
        self._ids = pa.array(sorted(self._scan()), pa.string())

    def __getitem__(self, image_id: str) -> Regions:
        if image_id not in self:
            raise KeyError(f"Image {image_id!r} is not among the {len(self)} region files in {self.path}.")
        file = self._file(image_id)
        try:
            arrays = _read_safetensors(file) if self.format == "safetensors" else _read_npz(file)
            size = arrays.pop("image_size").tolist()
            values: dict[str, Any] = {**arrays, "image_size": tuple(size), "image_id": image_id}
            return Regions(**values, object_names=self.object_names, attribute_names=self.attribute_names)
        except (SafetensorError, zipfile.BadZipFile, EOFError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{file} holds no regions: {error}. Write it again.") from error

    def many(self, image_ids: Sequence[str]) -> list[Regions]:
        """The regions of several images, in the order asked for.

        Raises:
            KeyError: an image that has no file.
        """
        regions = {image_id: self[image_id] for image_id in dict.fromkeys(image_ids)}
        return [regions[image_id] for image_id in image_ids]

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self._file(image_id).is_file()

    def __iter__(self) -> Iterator[str]:
        return (value.as_py() for value in self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def _file(self, image_id: str) -> Path:
        return file_of(self.path, image_id, self.format)

    def _scan(self) -> Iterator[str]:
        suffix = f".{self.format}"
        for folder, _, names in os.walk(self.path):
            parts = Path(folder).relative_to(self.path).parts
            for name in names:
                if name.endswith(suffix) and not name.startswith("."):
                    yield "/".join(map(_decoded, (*parts, name.removesuffix(suffix))))


def check_region_files_target(folder: str | Path, format: FileFormat, features_dtype: FeaturesType) -> None:  # noqa: A002
    """See whether `write_region_files` can write there, before regions are found.

    Raises:
        FileExistsError: something else, or files of another format or type.
    """
    folder = Path(folder)
    check_is_free(folder)
    file = folder / FILES_DESCRIPTION
    if file.is_file():
        content = read_json(file)
        if (content["format"], content["features_dtype"]) != (format, features_dtype):
            raise FileExistsError(f"{folder} holds files of another format or type: choose another folder.")
    elif folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds other things: choose another folder or empty it.")


def write_region_files(
    regions: Mapping[str, Regions],
    folder: str | Path,
    format: FileFormat = "safetensors",  # noqa: A002 (what users call it)
    features_dtype: FeaturesType = "float32",
    progress: bool = True,
) -> RegionFiles:
    """Write one file for each image, and open the folder; a run that was stopped goes on when started again.

    A file holds `features`, `boxes`, `image_size` (height, width) and the labels that there are. A slash in an image id
    makes a sub-folder; characters that file systems may refuse, and parts such as `..`, are written in percent code.

    Args:
        regions: regions by image id, such as a `RegionStore`; its `description` and names of classes are kept.
        folder: for the files; new, or of a run with the same arguments. Files in it stay as they are.
        format: "safetensors" or "npz".
        features_dtype: type that features are stored in.
        progress: show a bar with images per second and time left.

    Raises:
        ValueError: another format or type, or features that float16 cannot hold.
        FileExistsError: a folder with other things, or with files of other regions.
    """
    if format not in get_args(FileFormat):
        raise ValueError(f'format must be "safetensors" or "npz", got {format!r}.')
    check_features_type(features_dtype)
    folder = Path(folder)
    names = {name: getattr(regions, name, None) for name in NAMES}
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "format": format, "features_dtype": features_dtype}
    content |= {"description": getattr(regions, "description", {}), **names}
    content = json.loads(json.dumps(content))
    description_file = folder / FILES_DESCRIPTION
    if description_file.is_file() and read_json(description_file) != content:
        raise FileExistsError(f"{folder} holds files of other regions or of another format: choose another folder.")
    check_region_files_target(folder, format, features_dtype)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(description_file, content)
    for image_id in tqdm(regions, desc="Writing region files", unit=" images", disable=not progress):
        file = file_of(folder, image_id, format)
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, _writer_of(_to_arrays(regions[image_id], features_dtype), format))
    return RegionFiles(folder)


def file_of(folder: Path, image_id: str, suffix: str) -> Path:
    """The file of an image: below the folder, whatever the id is."""
    *parents, name = map(_encoded, image_id.split("/"))
    return folder.joinpath(*parents, f"{name}.{suffix}")


def _encoded(part: str) -> str:
    """A part of an id as a name that every file system takes; names that begin with a dot are hidden."""
    encoded = quote(part, safe=" ,()+=@", errors="surrogatepass")
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded or EMPTY


def _decoded(name: str) -> str:
    return "" if name == EMPTY else unquote(name, errors="surrogatepass")


def _to_arrays(regions: Regions, features_dtype: FeaturesType) -> dict[str, np.ndarray]:
    features = stored_features(regions, features_dtype)
    arrays = {"features": features, "boxes": regions.boxes, "image_size": np.array(regions.image_size)}
    labels = {name: values for name in LABEL_TYPES if (values := getattr(regions, name)) is not None}
    return {name: np.ascontiguousarray(values) for name, values in (arrays | labels).items()}


def _writer_of(arrays: dict[str, np.ndarray], format: FileFormat) -> Any:  # noqa: A002
    def write(work: Path) -> None:
        if format == "safetensors":
            save_file(arrays, str(work))
        else:
            with work.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

    return write


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    with safe_open(str(file), framework="numpy") as opened:
        there = set(opened.keys())
        return {name: opened.get_tensor(name) for name in ARRAYS if name in there}


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as opened:
        return {name: opened[name] for name in ARRAYS if name in opened}
