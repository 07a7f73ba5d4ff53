"""The questions that LXMERT's authors re-distribute, in their own JSON: VQA, GQA and NLVR2.

Their README (https://github.com/airsplay/lxmert) says where each file is; those of NLVR2 are made by a script there.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import Progress
from lxmert.training.json_files import JsonFile, Record, distinct, write_table
from lxmert.training.nlvr2 import sentence_of

Task = Literal["vqa", "gqa", "nlvr2"]
ORIGIN: dict[Task, str] = {
    "vqa": "train.json, nominival.json, minival.json and test.json (about 250 MB together) come from "
    "https://nlp1.cs.unc.edu/data/lxmert_data/vqa/",
    "gqa": "train.json, valid.json and testdev.json (about 200 MB together) come from "
    "https://nlp1.cs.unc.edu/data/lxmert_data/gqa/",
    "nlvr2": "train.json, valid.json and test.json (30 MB together) are made out of NLVR2's own files by "
    "data/nlvr2/process_raw_data_scripts/process_dataset.py in https://github.com/airsplay/lxmert; read_nlvr2 reads "
    "NLVR2's own files",
}


def read_original_questions(
    files: str | Path | Sequence[str | Path],
    task: Task,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> QuestionTable:
    """Read lists of `{"img_id", "sent", "label", "question_id"}` or, of NLVR2, of pairs.

    Their scores of answers are kept as they are, the highest first; annotators are not told. A VQA question whose
    answers are all outside the original's vocabulary has the label {}, here no scores. NLVR2's labels 1 and 0 become
    "true" and "false". `kinds` of VQA are "question_type" and "answer_type", where they are told, of NLVR2 "sentence"
    as in `read_nlvr2`.

    Args:
        files: one or several, such as VQA's `train.json` and `nominival.json`, whose questions follow each other.
        task: "vqa", "gqa" or "nlvr2".
        cache_dir: folder for the table, opened again as long as the files stay the same; by default a temporary one.
        progress: show bars with time left.

    Raises:
        FileNotFoundError: a file is not there; says where it comes from.
        ValueError: another task, or a file of another one; an entry that is broken, lacks a field or has one of
            another type, with its file and number; an id that comes twice; no file, or a folder.
    """
    if task not in get_args(Task):
        raise ValueError(f"task must be one of {', '.join(get_args(Task))}, got {task!r}.")
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise ValueError("files is empty: name at least one.")
    if folders := [str(path) for path in paths if path.is_dir()]:
        raise ValueError(f"{', '.join(folders)} is a folder: name the files in it, such as {folders[0]}/train.json.")
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{', '.join(missing)}: no file there; {ORIGIN[task]}.")
    identify, question = FORMS[task]

    def read(told: Progress) -> Iterator[Question]:
        opened = [JsonFile(path) for path in paths]
        return (question(identifier, record) for identifier, record in distinct(opened, identify, told))

    return write_table(f"{task.upper()} {' + '.join(path.stem for path in paths)}", paths, read, cache_dir, progress)


def _vqa_id(_: str, record: Record) -> str:
    if isinstance(record.values.get("question_id"), str):
        raise record.error("question_id", "must be a whole number; texts are the ids of GQA")
    return str(record.number("question_id"))


def _gqa_id(_: str, record: Record) -> str:
    if "question_type" in record.values:
        raise record.error("question_type", "is no field of GQA; it looks like VQA")
    return record.text("question_id")


def _nlvr2_id(_: str, record: Record) -> str:
    return record.text("identifier")


def _vqa_question(question_id: str, record: Record) -> Question:
    names = [name for name in ("question_type", "answer_type") if name in record.values]
    return Question(
        (record.text("img_id"),),
        record.text("sent"),
        _scores(record),
        question_id,
        kinds={name: record.text(name) for name in names},
    )


def _gqa_question(question_id: str, record: Record) -> Question:
    scores = _scores(record)
    if "label" in record.values and not all(answer.strip() for answer in scores or [""]):
        raise record.error("label", f"must hold an answer, got {record.values['label']!r}")
    return Question((record.text("img_id"),), record.text("sent"), scores, question_id)


def _nlvr2_question(identifier: str, record: Record) -> Question:
    scores: dict[str, float] = {}
    if "label" in record.values:
        label = record.number("label")
        if label > 1:
            raise record.error("label", f"must be 1 (true) or 0 (false), got {label}")
        scores = {("false", "true")[label]: 1.0}
    return Question(
        (record.text("img0"), record.text("img1")),
        record.text("sent"),
        scores,
        identifier,
        kinds={"sentence": sentence_of(identifier, record)},
    )


def _scores(record: Record) -> dict[str, float]:
    """Scores by answer, the highest first; none where there is no label."""
    if "label" not in record.values:
        return {}
    label = record.part("label")
    for answer, score in label.values.items():
        label.check_text("answer", answer, empty=True)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 < score <= 1:
            raise label.error(repr(answer), f"must be a score in (0, 1], got {score!r}")
    return {answer: float(score) for answer, score in sorted(label.values.items(), key=lambda item: -item[1])}


FORMS: dict[Task, tuple[Callable[[str, Record], str], Callable[[str, Record], Question]]] = {
    "vqa": (_vqa_id, _vqa_question),
    "gqa": (_gqa_id, _gqa_question),
    "nlvr2": (_nlvr2_id, _nlvr2_question),
}
