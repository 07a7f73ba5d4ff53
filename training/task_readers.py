"""The readers of all tasks behind one call: the questions of a split, and what their regions can be found in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lxmert.detection import open_images
from lxmert.detection.image_sources import ImageFiles
from lxmert.processing import Question, QuestionTable, Regions
from lxmert.training.captions import read_captions
from lxmert.training.easy_vqa import read_easy_vqa
from lxmert.training.gqa import read_gqa
from lxmert.training.nlvr import nlvr_images, read_nlvr, scene_regions
from lxmert.training.nlvr2 import read_nlvr2
from lxmert.training.original_questions import read_original_questions
from lxmert.training.own_questions import read_own_questions
from lxmert.training.vqa import read_vqa


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and what their regions can be found in where these do not lie in files.

    Args:
        questions: of one split.
        images: gives their pictures, by image id or as a source of `lxmert.detection`; None where nothing is known.
        regions: gives the regions that the data set itself tells (NLVR's structured representation).
        notes: what a person should know about how the questions were read.
    """

    questions: Sequence[Question]
    images: Callable[[], Any] | None = None
    regions: Callable[[], Iterable[Regions]] | None = None
    notes: tuple[str, ...] = ()

    def pictures(self, image_ids: Iterable[str]) -> dict[str, Any]:
        """Pictures, or their paths, of some images, as far as they are known."""
        wanted = set(image_ids)
        images = None if self.images is None or not wanted else self.images()
        if images is None:
            return {}
        if isinstance(images, Mapping):
            return {image_id: images[image_id] for image_id in sorted(wanted & images.keys())}
        rows = enumerate(images.ids.to_pylist())
        return {image_id: images[number] for number, image_id in rows if image_id in wanted}


# Reads the questions of one split. A function of `folder`, where the files of the data set lie (None where none was
# given), `split`, a name that the data set knows or a file, `work`, a folder for tables and pictures that it unpacks,
# `images`, a folder of the pictures, and what else the data set knows. It raises a ValueError for a split that is not
# known, a record that cannot be used, or no folder where one is needed; a FileNotFoundError says where the data set
# comes from.
Reader = Callable[..., QuestionSet]


def vqa_questions(folder: Path | None, split: str, work: Path, images: Path | None = None) -> QuestionSet:
    """VQA v2: the official files, or with a split such as `minival.json` the original authors'."""
    folder = _needed(folder, "vqa")
    if split.endswith(".json"):
        questions = read_original_questions([folder / split], "vqa", work)
    else:
        questions = read_vqa(folder, _split(split), work)
    return QuestionSet(questions, _pictures(images, questions))


def gqa_questions(folder: Path | None, split: str, work: Path, images: Path | None = None) -> QuestionSet:
    """GQA: the official files, or with a split such as `valid.json` the original authors'."""
    folder = _needed(folder, "gqa")
    if split.endswith(".json"):
        questions = read_original_questions([folder / split], "gqa", work)
    else:
        questions = read_gqa(folder, _split(split), work)
    return QuestionSet(questions, _pictures(images, questions))


def nlvr2_questions(folder: Path | None, split: str, work: Path, images: Path | None = None) -> QuestionSet:
    """NLVR2: the official JSON lines, or with a split such as `valid.json` the original authors' list."""
    folder = _needed(folder, "nlvr2")
    if split.endswith(".json") and split not in ("train.json", "dev.json", "test1.json"):
        questions = read_original_questions([folder / split], "nlvr2", work)
    else:
        questions = read_nlvr2(folder, _split(split.removesuffix(".json")), work)
    return QuestionSet(questions, _pictures(images, questions))


def nlvr_questions(
    folder: Path | None, split: str, work: Path, images: Path | None = None, validation_directories: int = 8
) -> QuestionSet:
    """NLVR v1: "train" and "validation" are parts of the training split (by whole directories), "dev" is official.

    Pictures are the PNG files, regions those of the structured representation.
    """
    folder = _needed(folder, "nlvr")
    if images is not None:
        raise ValueError("NLVR's pictures lie in its own folder: leave the folder of pictures out.")
    data = read_nlvr(folder, validation_directories)
    parts = {"train": data.training, "validation": data.validation, "dev": data.test}
    questions = parts[_known(split, parts, "nlvr")]
    ids = image_ids_of(questions)

    def pictures() -> Mapping[str, Path]:
        found = nlvr_images(folder, "dev" if split == "dev" else "train", work)
        return {image_id: path for image_id, path in found.items() if image_id in ids}

    def regions() -> Iterable[Regions]:
        return (scene_regions(image_id, scene) for image_id, scene in data.scenes.items() if image_id in ids)

    return QuestionSet(questions, pictures, regions)


def easy_vqa_questions(
    folder: Path | None,
    split: str,
    work: Path,
    images: Path | None = None,
    validation_images: int = 200,
    questions: int | None = None,
) -> QuestionSet:
    """easy-VQA: "train" and "validation" are parts of the training split (by images), "test" is official."""
    if folder is not None or images is not None:
        raise ValueError("easy-VQA comes with its package, pictures included: leave the folder out.")
    data = read_easy_vqa(validation_images, questions=questions)
    parts = {"train": data.training, "validation": data.validation, "test": data.test}
    chosen = parts[_known(split, parts, "easy_vqa")]
    ids = image_ids_of(chosen)
    return QuestionSet(chosen, lambda: {name: path for name, path in data.images.items() if name in ids})


def caption_questions(folder: Path | None, split: str, work: Path, images: Path | None = None) -> QuestionSet:
    """COCO's or Flickr30k's captions in the usual splits."""
    captions = read_captions(_needed(folder, "retrieval"), split, work)
    return QuestionSet(captions, _pictures(images, captions))


def own_questions(
    folder: Path | None,
    split: str,
    work: Path,
    images: Path | None = None,
    columns: Mapping[str, Any] | Sequence[str] | None = None,
    configuration: str | None = None,
    kinds: Sequence[str] = (),
) -> QuestionSet:
    """A user's own questions: `split` is a file (CSV, TSV, JSON), a saved data set, or a name on the Hub.

    Of a data set with several parts, `NAME:PART` takes one, such as `lmms-lab/VQAv2:validation`.

    Args:
        folder: that `split` is relative to.
        split: what to read.
        work: unused.
        images: folder of the pictures, for data that name files.
        columns: names of the columns, see `read_own_questions`; also as `["image=file", "answer=label"]`.
        configuration: of a data set on the Hub that has several.
        kinds: columns whose values are classes of questions, to break figures down.

    Raises:
        ValueError: columns that are not `name=column`; else as `read_own_questions`.
    """
    source, part = _own_source(folder, split)
    if isinstance(columns, Sequence):
        if wrong := [entry for entry in columns if "=" not in entry]:
            raise ValueError(f"columns must be name=column, such as image=file_name, got {wrong[0]!r}.")
        columns = dict(entry.split("=", 1) for entry in columns)
    data = read_own_questions(source, columns, part, images, configuration=configuration, kinds=kinds)
    return QuestionSet(data.questions, (lambda: data.images) if data.images else None, notes=(data.report,))


def _own_source(folder: Path | None, split: str) -> tuple[str, str | None]:
    """A path, relative to the folder or as it stands, or a name on the Hub; and which part of it, if that is said."""
    name, colon, part = split.rpartition(":")
    for source, chosen in ((split, None), (name, part)) if colon else ((split, None),):
        for place in ([folder / source] if folder is not None else []) + [Path(source)]:
            if place.exists():
                return str(place), chosen
    return (name, part) if colon else (split, None)


def image_ids_of(questions: Sequence[Question]) -> set[str]:
    """The images that questions are about."""
    if isinstance(questions, QuestionTable):
        return {image_id for image_ids in questions.column("image_ids") for image_id in image_ids}
    return {image_id for question in questions for image_id in question.image_ids}


def _split(name: str) -> Any:
    """The reader looks whether it knows the name."""
    return name


def _needed(folder: Path | None, task: Literal["vqa", "gqa", "nlvr2", "nlvr", "retrieval"]) -> Path:
    if folder is None:
        raise ValueError(f"Task {task} reads files: name the folder that they lie in (--data FOLDER).")
    return folder


def _known(split: str, parts: Mapping[str, Any], task: str) -> str:
    if split not in parts:
        raise ValueError(f"{task} has the splits {', '.join(parts)}, got {split!r}.")
    return split


def _pictures(images: Path | None, questions: Sequence[Question]) -> Callable[[], Any] | None:
    """The pictures that questions are about, out of a folder in which they may lie at any depth."""
    if images is None:
        return None

    def found() -> Any:
        source = open_images(images)
        if not isinstance(source, ImageFiles):
            return source
        wanted = image_ids_of(questions)
        paths: dict[str, str] = {}
        for number, image_id in enumerate(source.ids.to_pylist()):
            for name in {image_id, image_id.rsplit("/", 1)[-1]} & wanted:
                paths.setdefault(name, source[number])
        if not paths:
            raise ValueError(
                f"{images} holds none of the {len(wanted):,} pictures that the questions are about, such as "
                f"{min(wanted)!r} with any suffix of a picture: name the folder that they lie in."
            )
        return paths

    return found
