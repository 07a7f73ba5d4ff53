"""VQA v2 (Goyal et al. 2017): questions about photographs of COCO, each answered by ten annotators.

The files are those of https://visualqa.org/download.html, as published: `v2_OpenEnded_mscoco_*_questions.json` and
`v2_mscoco_*_annotations.json`.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import Progress
from lxmert.processing.vqa_answers import normalize_vqa_answer, soft_scores
from lxmert.training.json_files import ADVICE, JsonFile, Record, distinct, find_files, write_table

Split = Literal["train", "validation", "test", "test-dev"]
FILE_NAMES: dict[Split, str] = {
    "train": "train2014",
    "validation": "val2014",
    "test": "test2015",
    "test-dev": "test-dev2015",
}
COCO_NAMES: dict[Split, str] = FILE_NAMES | {"test-dev": "test2015"}
WITH_ANNOTATIONS = ("train", "validation")
ORIGIN = (
    "VQA v2's questions and annotations (50 MB zipped, 0.6 GB unzipped) come from https://visualqa.org/download.html; "
    "unzip v2_Questions_Train_mscoco.zip, v2_Annotations_Train_mscoco.zip and so on into this folder, or each into a "
    "folder of its own inside."
)


class _Asked(NamedTuple):
    image: int
    text: str
    place: str


class _Annotated(NamedTuple):
    image: int
    answers: tuple[str, ...]
    most_frequent: str
    kinds: dict[str, str]
    place: str


def read_vqa(
    folder: str | Path, split: Split, cache_dir: str | Path | None = None, progress: bool = True
) -> QuestionTable:
    """Read the questions of a split, with annotations where they are published.

    Image ids are COCO's file names, "COCO_train2014_000000458752", as in files of bottom-up features. `scores` are
    those of `soft_scores`, the published `multiple_choice_answer`, normalised, first; an answer of which nothing is
    left (the letter a) has no score. `annotators` are the answers as published; `kinds` are "question_type" and
    "answer_type".

    Args:
        folder: holds the files, in itself or in folders inside.
        split: "train" (443,757 questions), "validation" (214,354), "test" (447,793) or "test-dev" (107,394), the last
            two without answers.
        cache_dir: folder for the table, opened again as long as the files stay the same; by default a temporary one.
        progress: show bars with time left.

    Raises:
        FileNotFoundError: a file is not there; says where it comes from.
        ValueError: another split, asked for or told by a file (`data_subtype`); a record that is broken, lacks a field
            or has one of another type, with its file and number; an id that comes twice; a question without
            annotation, or the other way round.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}, got {split!r}.")
    names = [f"v2_OpenEnded_mscoco_{FILE_NAMES[split]}_questions.json"]
    if split in WITH_ANNOTATIONS:
        names.append(f"v2_mscoco_{FILE_NAMES[split]}_annotations.json")
    files = find_files(folder, names, ("*",), ORIGIN)

    def read(told: Progress) -> Iterator[Question]:
        subtypes = {"data_subtype": dict.fromkeys((FILE_NAMES[split], COCO_NAMES[split]))}
        opened = [
            JsonFile(file, field=field, expected=subtypes)
            for file, field in zip(files, ("questions", "annotations"), strict=False)
        ]
        for number, asked, annotated in _joined(opened, told):
            image_id = f"COCO_{COCO_NAMES[split]}_{asked.image:012d}"
            if annotated is None:
                yield Question((image_id,), asked.text, question_id=str(number))
                continue
            scores = soft_scores(annotated.answers)
            best = normalize_vqa_answer(annotated.most_frequent)
            if best in scores:
                scores = {best: scores[best]} | scores
            yield Question((image_id,), asked.text, scores, str(number), annotated.answers, annotated.kinds)

    return write_table(f"VQA {split}", files, read, cache_dir, progress)


def _joined(files: Sequence[JsonFile], progress: Progress) -> Iterator[tuple[int, _Asked, _Annotated | None]]:
    """Questions with their annotations by id; what waits for its other half is little if both have one order."""
    questions = distinct(files[:1], _number, progress)
    if len(files) == 1:
        yield from ((number, _asked(record), None) for number, record in questions)
        return
    annotations = distinct(files[1:], _number, progress)
    asked: dict[int, _Asked] = {}
    annotated: dict[int, _Annotated] = {}
    for question, annotation in zip_longest(questions, annotations):
        if question is not None:
            asked[question[0]] = _asked(question[1])
        if annotation is not None:
            annotated[annotation[0]] = _annotated(annotation[1])
        for number in {half[0] for half in (question, annotation) if half is not None}:
            if number in asked and number in annotated:
                yield number, *_agreeing(asked.pop(number), annotated.pop(number))
    for waiting, one, other in ((asked, "question", files[1].path), (annotated, "annotation", files[0].path)):
        for number, half in waiting.items():
            more = f", nor has any of {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
            raise ValueError(f"{half.place}: the {one} {number} has no other half in {other}{more}. {ADVICE}")


def _agreeing(asked: _Asked, annotated: _Annotated) -> tuple[_Asked, _Annotated]:
    if asked.image != annotated.image:
        raise ValueError(
            f"{annotated.place}, image_id: must be {asked.image} as in {asked.place}, got {annotated.image}. {ADVICE}"
        )
    return asked, annotated


def _asked(record: Record) -> _Asked:
    return _Asked(record.number("image_id"), record.text("question"), f"{record.file}, {record.place}")


def _annotated(record: Record) -> _Annotated:
    entries = record.values_of("answers", dict)
    if not entries:
        raise record.error("answers", "must hold at least one answer, got none")
    answers = tuple(record.check_text("answers, answer", entry.get("answer"), empty=True) for entry in entries)
    return _Annotated(
        record.number("image_id"),
        answers,
        record.text("multiple_choice_answer", empty=True),
        {name: record.text(name) for name in ("question_type", "answer_type")},
        f"{record.file}, {record.place}",
    )


def _number(_: str, record: Record) -> int:
    return record.number("question_id")
