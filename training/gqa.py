"""GQA (Hudson & Manning 2019): questions about Visual Genome's images, generated from their scene graphs.

The files are those of https://cs.stanford.edu/people/dorarad/gqa/download.html, as published (version 1.2).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import Progress
from lxmert.training.json_files import JsonFile, Record, distinct, find_files, write_table

Split = Literal[
    "train", "validation", "testdev", "test", "challenge",
    "train_all", "validation_all", "testdev_all", "test_all", "challenge_all", "submission_all",
]  # fmt: skip
WITHOUT_ANSWERS = ("test", "challenge", "submission")
PARTS_OF_TRAIN_ALL = 10
UNCOUNTED_OPERATIONS = ("exist", "query: name", "choose name")
ORIGIN = (
    "GQA's questions (1.4 GB zipped, some 16 GB unzipped) come from "
    "https://cs.stanford.edu/people/dorarad/gqa/download.html; unzip questions1.2.zip into this folder, or into a "
    "folder inside. The balanced questions alone, the files *_balanced_questions.json, take 1 GB."
)


def read_gqa(
    folder: str | Path, split: Split, cache_dir: str | Path | None = None, progress: bool = True
) -> QuestionTable:
    """Read the questions of a split; files of any size, for one question after the other is read.

    Image ids are as published, "2354786" of Visual Genome, "n161313" of the test splits. `kinds` are "structural",
    "semantic" and "detailed" (the types), "global_group" and "local_group" where a question has them, "balanced"
    ("true" or "false") and "steps", the number of operations without those that the official evaluation does not count
    (exist, query: name, choose name). `entailed` are the ids of questions whose answers follow from this one's; those
    of a balanced file may lie among all questions only.

    Args:
        folder: holds the files, in itself or in a folder inside.
        split: "train", "validation", "testdev", "test" or "challenge" has the balanced questions, with "_all" after it
            all; "submission_all" has those that the challenge's server asks. Test, challenge and submission have no
            answers. "train_all" is a folder of ten files.
        cache_dir: folder for the table, opened again as long as the files stay the same; by default a temporary one.
        progress: show bars with time left.

    Raises:
        FileNotFoundError: a file is not there; says where it comes from.
        ValueError: another split; a question that is broken, lacks a field or has one of another type, with its file
            and id; an id that comes twice.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}, got {split!r}.")
    part, _, kind = split.partition("_")
    name = f"{part.replace('validation', 'val')}_{kind or 'balanced'}_questions"
    if split == "train_all":
        names = [f"{name}_{number}.json" for number in range(PARTS_OF_TRAIN_ALL)]
        places: tuple[str, ...] = (name, f"*/{name}", "*")
    else:
        names, places = [f"{name}.json"], ("*",)
    files = find_files(folder, names, places, ORIGIN)

    def read(told: Progress) -> Iterator[Question]:
        opened = [JsonFile(file, "object", unit="question") for file in files]
        for question_id, record in distinct(opened, _name, told):
            yield _question(question_id, record, part not in WITHOUT_ANSWERS)

    return write_table(f"GQA {split}", files, read, cache_dir, progress)


def _name(name: str, record: Record) -> str:
    return record.check_text("its id", name)


def _question(question_id: str, record: Record, answered: bool) -> Question:
    """A question; what describes it must be there where its answer is, and may be otherwise."""
    scores = {record.text("answer"): 1.0} if answered or record.values.get("answer") is not None else {}
    found: dict[str, str | None] = {}
    if answered or "types" in record.values:
        types = record.part("types")
        found |= {name: types.optional_text(name) for name in ("structural", "semantic", "detailed")}
    if answered or "groups" in record.values:
        groups = record.part("groups")
        found |= {f"{name}_group": groups.optional_text(name) for name in ("global", "local")}
    if answered or "isBalanced" in record.values:
        balanced = record.values.get("isBalanced")
        if not isinstance(balanced, bool):
            raise record.error("isBalanced", f"must be true or false, got {balanced!r}")
        found["balanced"] = str(balanced).lower()
    if answered or "semantic" in record.values:
        found["steps"] = str(_steps(record))
    entailed = record.values_of("entailed", str) if answered or "entailed" in record.values else []
    return Question(
        (record.text("imageId"),),
        record.text("question"),
        scores,
        question_id,
        kinds={name: value for name, value in found.items() if value is not None},
        entailed=tuple(other for other in entailed if other != question_id),
    )


def _steps(record: Record) -> int:
    """Operations that count, as the official evaluation's `getStepsNum` counts them."""
    operations = record.values_of("semantic", dict)
    try:
        texts = [f"{operation['operation']}: {operation['argument']}" for operation in operations]
    except KeyError as error:
        raise record.error("semantic", f"must be operations with arguments, lacks {error}") from error
    return sum(not any(uncounted in text for uncounted in UNCOUNTED_OPERATIONS) for text in texts)
