"""What fine-tuning and evaluation work on: questions joined, their regions found, their answers listed."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import datasets

from lxmert.detection import extract_images, make_extractor
from lxmert.detection.image_sources import ImageMapping, ImageSource
from lxmert.evaluation.given_answers import question_ids
from lxmert.processing import LxmertProcessor, Question, QuestionTable, RegionSource, RegionStore, open_regions
from lxmert.processing.processes import process_state
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.training.task_readers import QuestionSet, image_ids_of

SHOWN = 5


@dataclass(frozen=True)
class RegionChoice:
    """Where regions come from: files, or pictures and an extractor.

    Args:
        files: region stores (folders) and TSV files of the original.
        extractor: grid, components, shapes, detector, faster_rcnn, or a class by its name.
        checkpoint: folder, or name on the Hub, of the extractor's network.
        settings: the extractor's other keywords.
        workers: processes that open pictures.

    Raises:
        ValueError: both files and an extractor, or what belongs to an extractor without one.
    """

    files: Sequence[str] = ()
    extractor: str | None = None
    checkpoint: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.files, str):
            object.__setattr__(self, "files", [self.files])
        if self.files and self.extractor is not None:
            raise ValueError("regions must be files or an extractor, got both.")
        if self.extractor is None and (self.checkpoint is not None or self.settings):
            raise ValueError("regions.checkpoint and regions.settings belong to regions.extractor, which is not given.")

    def make_extractor(self) -> RegionExtractor | None:
        """The extractor that is named, if one is."""
        if self.extractor is None:
            return None
        return make_extractor(self.extractor, self.checkpoint, [json.dumps(dict(self.settings))])


@dataclass(frozen=True)
class FineTuningData:
    """Checked data, ready to be learned from.

    Args:
        training: questions to learn from, by split.
        validation: questions about other images, that choose the checkpoint.
        test: questions that the finished model is judged by; None where these are the validation questions.
        regions: of all images.
        processor: tokenizer, and the region extractor that found the regions, if one did.
        answers: the model's.
        sets: the questions with their pictures.
        notes: what a person should know about how the data were read.
    """

    training: dict[str, Sequence[Question]]
    validation: Sequence[Question]
    test: Sequence[Question] | None
    regions: RegionSource
    processor: LxmertProcessor
    answers: list[str]
    sets: list[QuestionSet]
    notes: tuple[str, ...] = ()

    def pictures(self, image_ids: Iterable[str]) -> dict[str, Any]:
        """Pictures, or their paths, of some images, as far as they are known."""
        wanted = set(image_ids)
        found: dict[str, Any] = {}
        for part in self.sets:
            found |= part.pictures(wanted - found.keys())
        return found


def find_regions(
    sets: Sequence[QuestionSet],
    choice: RegionChoice,
    work: Path,
    folder: Path | None = None,
    extractor: RegionExtractor | None = None,
    progress: bool = True,
) -> RegionSource:
    """The regions of all images that questions are about; the first of these that there is:

    files of the choice, `extractor` on the pictures, regions that the data set itself tells.

    Args:
        sets: questions, and what their regions can be found in.
        choice: files, if regions lie there.
        work: folder for the regions; found there, they are used again.
        folder: that files may be relative to.
        extractor: the choice's, or that of a checkpoint's processor.
        progress: show bars with time left.

    Raises:
        ValueError: nothing that regions could come from, or images without regions.
        FileNotFoundError: files that are not there.
        FileExistsError: `work` holds regions of another extractor.
    """
    found: RegionSource
    if choice.files:
        with first_process():
            found = open_regions([_place(path, folder) for path in choice.files], work)
    elif extractor is not None and any(part.images is not None for part in sets):
        found = _extracted(sets, extractor, work / "regions", choice.workers, progress)
    elif all(part.regions is not None for part in sets):
        with first_process():
            found = _told(sets, work / "regions")
    else:
        raise ValueError(
            "Where do the regions come from? Name region files (--regions STORE_OR_TSV), or pictures and an extractor "
            "(--images FOLDER --extractor NAME); a checkpoint whose processor has an extractor needs the pictures only."
        )
    for part in sets:
        _check_images(part.questions, found)
    return found


def join_questions(parts: Sequence[Sequence[Question]], same_ids: bool = False) -> Sequence[Question]:
    """Several splits as one.

    Args:
        parts: the splits.
        same_ids: whether questions of two splits may have one id, as those to learn from may.

    Raises:
        ValueError: no split, or a question id in two of them.
    """
    if not parts:
        raise ValueError("There is no split: name at least one.")
    if len(parts) == 1:
        return parts[0]
    tables = [part.dataset for part in parts if isinstance(part, QuestionTable)]
    questions: Sequence[Question]
    if len(tables) == len(parts):
        questions = QuestionTable(datasets.concatenate_datasets(tables))
    else:
        questions = list(chain.from_iterable(parts))
    if same_ids:
        return questions
    question_ids(questions)  # refuses those that come twice
    return questions


@contextmanager
def first_process() -> Iterator[None]:
    """Of several processes the first reads and writes, then the others read what it wrote."""
    with process_state().main_process_first():
        yield


def _extracted(
    sets: Sequence[QuestionSet], extractor: RegionExtractor, path: Path, workers: int, progress: bool
) -> RegionStore:
    paths: dict[str, Any] = {}
    sources: list[ImageSource] = []
    for part in sets:
        images = None if part.images is None else part.images()
        if isinstance(images, dict):
            paths |= images  # one bar for all splits
        elif images is not None:  # a mapping that reads pictures as they are asked for
            sources.append(ImageMapping(images) if isinstance(images, Mapping) else images)
    for source in [*([ImageMapping(paths)] if paths else []), *sources]:
        extract_images(source, extractor, path, workers=workers, progress=progress)
    return RegionStore(path)


def _told(sets: Sequence[QuestionSet], path: Path) -> RegionStore:
    """The store of the regions that the data sets tell, written now or by an earlier run."""
    description = {"source": "told by the data set"}
    wanted = set().union(*(image_ids_of(part.questions) for part in sets))
    if path.exists():
        store = RegionStore(path)
        if store.description == description and wanted <= store.keys():
            return store
        if store.description != description:
            raise FileExistsError(f"{path} holds other regions: remove it or choose another folder.")
        shutil.rmtree(path)
    return RegionStore.create(path, chain.from_iterable(part.regions() for part in sets if part.regions), description)


def _check_images(questions: Sequence[Question], regions: RegionSource) -> None:
    missing: dict[str, str] = {}  # the first question about each
    known: set[str] = set()
    pairs = (
        zip(questions.column("question_id"), questions.column("image_ids"), strict=True)
        if isinstance(questions, QuestionTable)
        else ((question.question_id, question.image_ids) for question in questions)
    )
    for question_id, image_ids in pairs:
        for image_id in image_ids:
            if image_id not in known and image_id not in missing:
                if image_id in regions:
                    known.add(image_id)
                else:
                    missing[image_id] = question_id
    if missing:
        shown = ", ".join(f"{image!r} (question {question!r})" for image, question in list(missing.items())[:SHOWN])
        more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        raise ValueError(
            f"{len(missing):,} of {len(missing) + len(known):,} images have no regions: {shown}{more}. Extract them, "
            "see skipped.jsonl beside the regions for pictures that could not be read, or leave their questions out."
        )


def _place(path: str, folder: Path | None) -> Path:
    inside = None if folder is None else folder / path
    return inside if inside is not None and inside.exists() else Path(path)
