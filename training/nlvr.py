"""NLVR v1 (Suhr et al. 2017): sentences that are true or false of three boxes of shapes.

The data set comes from https://github.com/lil-lab/nlvr (CC-BY-4.0), `nlvr/train` and `nlvr/dev`. Here regions come out
of its structured representation: what is in an image is known exactly, as from a perfect detector. Its pictures are
there for a detector that looks (`nlvr_images`).
"""

import os
import random
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from lxmert.processing import Question, Regions
from lxmert.training.json_files import JsonFile, Record, distinct

IMAGE_SIZE = (100, 400)  # height, width of a PNG in pixels
BOX_OFFSETS = (0, 150, 300)  # left edges of the three boxes, each 100 pixels square
SHAPES = ("square", "circle", "triangle", "box")
COLOURS = {"yellow": "Yellow", "blue": "#0099ff", "black": "Black"}
SIZES = (10, 20, 30)  # pixels
FEATURE_DIM = len(SHAPES) + len(COLOURS) + len(SIZES)
ANSWERS = ["false", "true"]
NO_LABEL = -1
PICTURES_ZIP = "images_0.zip"
FORMS = {"identifier": re.compile("[0-9]+-[0-9]+"), "directory": re.compile("[0-9]+")}
ADVICE = (
    "Is it NLVR v1's file, and whole? If not, fetch the file again: it comes from https://github.com/lil-lab/nlvr, "
    "folder nlvr."
)

Scene = list[list[dict[str, Any]]]  # the objects of each box


@dataclass(frozen=True)
class Nlvr:
    """The data set with a validation part split off by whole directories of the training split.

    Images of one directory share much; its authors warn that random splits leak.

    Args:
        scenes: objects of each box by image id; ids are the split's name and the identifier, "train/1304-0".
        training: examples to learn from; the answers are "false" and "true".
        validation: examples of other directories, to choose a checkpoint.
        test: the development split, whole.
    """

    scenes: dict[str, Scene]
    training: list[Question]
    validation: list[Question]
    test: list[Question]


def read_nlvr(folder: str | Path, validation_directories: int = 8, seed: int = 0) -> Nlvr:
    """Read sentences, labels and scenes.

    Args:
        folder: holds `train/train.json` and `dev/dev.json`, as in the data set's repository.
        validation_directories: number of training directories, of 80, whose examples validate.
        seed: chooses them.

    Raises:
        FileNotFoundError: the files are not there.
        ValueError: a line that is no example, with its file and number; more directories than there are.
    """
    folder = Path(folder)
    train, dev = (list(_read_lines(folder, split)) for split in ("train", "dev"))
    directories = sorted({line["directory"] for line in train}, key=int)
    if not 1 <= validation_directories < len(directories):
        raise ValueError(f"validation_directories must lie in 1..{len(directories) - 1}, got {validation_directories}.")
    held_out = set(random.Random(seed).sample(directories, validation_directories))

    def examples(split: str, lines: list[dict[str, Any]]) -> list[Question]:
        return [
            Question(
                (f"{split}/{line['identifier']}",),
                line["sentence"],
                {line["label"]: 1.0},
                question_id=line["identifier"],
                kinds={"sentence": line["identifier"].rsplit("-", 1)[0]},
            )
            for line in lines
        ]

    return Nlvr(
        scenes={
            f"{split}/{line['identifier']}": line["structured_rep"]
            for split, lines in (("train", train), ("dev", dev))
            for line in lines
        },
        training=examples("train", [line for line in train if line["directory"] not in held_out]),
        validation=examples("train", [line for line in train if line["directory"] in held_out]),
        test=examples("dev", dev),
    )


def nlvr_images(
    folder: str | Path, split: Literal["train", "dev"], work: str | Path, progress: bool = True
) -> dict[str, Path]:
    """The PNG files by image id; of the six orders of an image's boxes the first, which `read_nlvr`'s scenes have.

    Args:
        folder: holds the split's JSON file and its pictures, `dev/images/<directory>/dev-1373-0-0.png`, or instead of
            the folder of pictures a file `images_0.zip` with the same folders inside.
        split: "train" or "dev".
        work: where a zip file is unpacked, into `images`; once, whole or not at all.
        progress: show a bar with time left.

    Raises:
        FileNotFoundError: the files are not there; pictures are missing, with their number and the first few.
        ValueError: another split, a line that is no example, or a zip file that is damaged.
    """
    if split not in ("train", "dev"):
        raise ValueError(f'split must be "train" or "dev", got {split!r}.')
    folder, pictures = Path(folder), Path(folder) / split / "images"
    inside = {
        f"{split}/{line['identifier']}": PurePosixPath(line["directory"], f"{split}-{line['identifier']}-0.png")
        for line in _read_lines(folder, split)
    }
    packed = folder / split / PICTURES_ZIP
    if not pictures.is_dir() and packed.is_file():
        pictures = Path(work) / "images"
        if not pictures.is_dir():
            _unpack(packed, {str("images" / path): path for path in inside.values()}, pictures, progress)
    found = {image_id: pictures / path for image_id, path in inside.items()}
    if missing := [str(path) for path in found.values() if not path.is_file()]:
        raise FileNotFoundError(
            f"{len(missing):,} of {len(found):,} pictures are missing, such as {', '.join(missing[:5])}: the images of "
            "NLVR (about 40 MB for one order of boxes) come from https://github.com/lil-lab/nlvr; lay them into "
            f"{folder / split / 'images'}, or {PICTURES_ZIP} into {folder / split}. If {pictures} was unpacked from "
            "another file, remove it."
        )
    return found


def _unpack(packed: Path, wanted: dict[str, PurePosixPath], folder: Path, progress: bool) -> None:
    """Unpack members of these names to these paths in a folder, which appears when it is whole; no others."""
    work = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(packed) as members:
            names = [name for name in members.namelist() if name in wanted]
            for name in tqdm(names, desc=f"Unpacking {packed.name}", unit=" pictures", disable=not progress):
                path = work / wanted[name]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(members.read(name))
        if names and not folder.is_dir():
            work.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ValueError(f"{packed} is damaged ({error}): fetch the file again.") from error
    except OSError:
        if not folder.is_dir():  # otherwise another process was first
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _read_lines(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    file = folder / split / f"{split}.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there: NLVR (about 60 MB with its images) comes from https://github.com/lil-lab/nlvr; name "
            "the folder that holds train/ and dev/."
        )
    for identifier, record in distinct([JsonFile(file, "lines", unit="line", advice=ADVICE)], _identifier):
        if (label := record.text("label")) not in ANSWERS:
            raise record.error("label", f"must be true or false, got {label!r}")
        yield {
            "identifier": identifier,
            "directory": _formed(record, "directory"),
            "label": label,
            "sentence": record.text("sentence"),
            "structured_rep": _scene(record),
        }


def _identifier(_: str, record: Record) -> str:
    return _formed(record, "identifier")


def _formed(record: Record, field: str) -> str:
    text = record.text(field)
    if not FORMS[field].fullmatch(text):
        raise record.error(field, f"has another form, got {text!r:.80}")
    return text


def _scene(record: Record) -> Scene:
    """The objects of each box, each with what `scene_regions` needs."""
    field = "structured_rep"
    boxes = record.values_of(field, list)
    if len(boxes) != len(BOX_OFFSETS):
        raise record.error(field, f"must be {len(BOX_OFFSETS)} boxes, got {len(boxes)}")
    for item in (item for objects in boxes for item in objects):
        if problem := _problem(item):
            raise record.error(field, f"{problem}, got {item!a:.120}")
    return boxes


def _problem(item: Any) -> str:
    """What is wrong with an object of a scene; nothing for a good one."""
    if not isinstance(item, dict):
        return "must hold objects"
    for name, known in (("type", SHAPES), ("color", tuple(COLOURS.values())), ("size", SIZES)):
        if name not in item or item[name] not in known:
            return f"{name} must be one of {', '.join(map(str, known))}"
    for name in ("x_loc", "y_loc"):
        if type(item.get(name)) not in (int, float) or not 0 <= item[name] <= IMAGE_SIZE[0]:
            return f"{name} must be a place in a box of {IMAGE_SIZE[0]} pixels"
    return ""


def scene_regions(image_id: str, scene: Scene) -> Regions:
    """The regions of a scene: its objects, and behind those of each box the box itself.

    Features are the region's own appearance, (R, 10): one of four shapes (a box is one), one of three colours, one of
    three sizes; a box has neither colour nor size. Where a region is, its box tells. `object_ids` are positions in
    `SHAPES`, `attribute_ids` in `COLOURS`, -1 for the boxes.

    Raises:
        ValueError: not three boxes, an object that lacks a field, or a shape, colour, size or place that NLVR does not
            have.

    Example:
        >>> scene = [[{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}], [], []]
        >>> regions = scene_regions("train/0-0", scene)
        >>> regions.boxes[:2].tolist(), regions.object_ids.tolist()
        ([[40.0, 80.0, 60.0, 100.0], [0.0, 0.0, 100.0, 100.0]], [0, 3, 3, 3])
    """
    features, boxes, shapes, colours = [], [], [], []
    if len(scene) != len(BOX_OFFSETS):
        raise ValueError(f"{image_id} must have {len(BOX_OFFSETS)} boxes, got {len(scene)}.")
    for offset, objects in zip(BOX_OFFSETS, scene, strict=True):
        for item in objects:
            if problem := _problem(item):
                raise ValueError(f"{image_id} holds what NLVR does not have: {item} ({problem}).")
            shape, size = SHAPES.index(item["type"]), SIZES.index(item["size"])
            colour = list(COLOURS.values()).index(item["color"])
            features.append(appearance(shape, colour, size))
            x, y = offset + item["x_loc"], item["y_loc"]
            boxes.append((x, y, x + item["size"], y + item["size"]))
            shapes.append(shape)
            colours.append(colour)
        features.append(appearance(SHAPES.index("box")))
        boxes.append((offset, 0, offset + 100, 100))
        shapes.append(SHAPES.index("box"))
        colours.append(NO_LABEL)
    return Regions(
        features=np.array(features),
        boxes=np.array(boxes),
        image_size=IMAGE_SIZE,
        object_ids=np.array(shapes),
        attribute_ids=np.array(colours),
        image_id=image_id,
    )


def appearance(shape: int, colour: int | None = None, size: int | None = None) -> np.ndarray:
    """(10,), features of a region from positions in `SHAPES`, `COLOURS`, `SIZES`; a box has neither colour nor size."""
    values = np.zeros(FEATURE_DIM, dtype=np.float32)
    values[shape] = 1
    if colour is not None and size is not None:
        values[len(SHAPES) + colour] = 1
        values[len(SHAPES) + len(COLOURS) + size] = 1
    return values
