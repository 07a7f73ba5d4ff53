"""Files of answers as the data sets' evaluation servers and scripts take them: written, and read to be scored.

| kind | form | a record |
|---|---|---|
| vqa | JSON list (visualqa.org, evalai.com) | `{"question_id": 458752000, "answer": "net"}` |
| gqa | JSON list (gqadataset.org) | `{"questionId": "201307251", "prediction": "pipe"}` |
| nlvr2 | lines (`nlvr2/eval/metrics.py`) | `dev-850-0-0,True` |
| nlvr | lines (`metrics_structured_rep.py`, or `metrics_images.py` with a picture's name) | `1304-0,true` |
| answers | JSON lines, for any other data | `{"question_id": "a7", "answer": "red", "probability": 0.9}` |
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lxmert.evaluation.given_answers import check_answers, first_few, question_ids
from lxmert.processing.json_entries import BrokenJsonError, reason_of
from lxmert.processing.questions import Question
from lxmert.processing.record_tables import write_whole
from lxmert.processing.whole_json import is_unicode, read_json, read_utf8

SubmissionKind = Literal["vqa", "gqa", "nlvr2", "nlvr", "answers"]


@dataclass(frozen=True)
class Form:
    """How a kind of file writes its records.

    Args:
        layout: one JSON list, a JSON object on each line, or identifier and answer on each line.
        id_field: name of the id in a record.
        answer_field: name of the answer.
        ids: what an id looks like as a text.
        example: such an id.
        id_is_number: in the file.
        spellings: of the answers in the file, where no others are allowed.
    """

    layout: Literal["JSON list", "JSON lines", "values"]
    id_field: str
    answer_field: str
    ids: re.Pattern[str]
    example: str
    id_is_number: bool = False
    spellings: Mapping[str, str] | None = None


ANY_ID = re.compile(".+", re.DOTALL)
FORMS: dict[str, Form] = {
    "vqa": Form("JSON list", "question_id", "answer", re.compile("0|[1-9][0-9]*"), "458752000", id_is_number=True),
    "gqa": Form("JSON list", "questionId", "prediction", ANY_ID, "201307251"),
    "nlvr2": Form(
        "values",
        "identifier",
        "label",
        re.compile("[a-z0-9]+(-[0-9]+){3}"),
        "dev-850-0-0",
        spellings={"true": "True", "false": "False"},
    ),
    "nlvr": Form(
        "values",
        "identifier",
        "label",
        re.compile(r"[0-9]+-[0-9]+|[a-z0-9]+(-[0-9]+){3}\.png"),
        "1304-0 or dev-1304-0-3.png",
        spellings={"true": "true", "false": "false"},
    ),
    "answers": Form("JSON lines", "question_id", "answer", ANY_ID, "a7"),
}


def write_submission(
    path: str | Path,
    kind: SubmissionKind,
    answers: Mapping[str, str],
    questions: Sequence[Question] | None = None,
    probabilities: Mapping[str, float] | None = None,
) -> None:
    """Write answers as the official evaluation of a data set takes them.

    Args:
        path: the file; it appears when it is whole, in place of one that is there.
        kind: of file, see the table above.
        answers: texts by question id, "true" and "false" for NLVR and NLVR2; written in this order.
        questions: what was asked; given, every question must have an answer, and nothing else may.
        probabilities: of the answers by question id, in [0, 1]; for "answers" only.

    Raises:
        ValueError: an id, answer or probability that the file cannot have, no answer, answers that do not fit the
            questions, or a path where no file can be. Nothing is written then.
        TypeError: an answer that is no text.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "test.csv"
        >>> write_submission(path, "nlvr2", {"dev-850-0-0": "false", "dev-850-1-0": "true"})
        >>> path.read_text()
        'dev-850-0-0,False\\ndev-850-1-0,True\\n'
    """
    form = _form(kind)
    asked = question_ids(questions) if questions is not None else list(answers)
    check_answers(asked, answers)
    if not answers:
        raise ValueError("answers holds none: there is nothing to write.")
    for name, answer in answers.items():
        try:
            _check(form, kind, name, answer)
        except ValueError as error:
            raise ValueError(f"answers, question {name!r}: {error}") from None
    if probabilities is not None:
        _check_probabilities(kind, answers, probabilities)
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it.")
    if files := [str(parent) for parent in path.parents if parent.exists() and not parent.is_dir()]:
        raise ValueError(f"{path} cannot be written: {files[0]} is a file, not a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(work: Path) -> None:
        with work.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(form, answers, probabilities))

    write_whole(path, write)


def read_submission(path: str | Path, kind: SubmissionKind) -> dict[str, str]:
    """Read answers from a file that somebody wrote, to score them.

    Args:
        path: the file.
        kind: of file, see the table above. Further fields of its records are not read.

    Returns:
        Texts by question id in the file's order, as this package's figures take them: ids are texts, answers to NLVR
        and NLVR2 "true" and "false".

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, a file of another kind or encoding, broken JSON, a record with a missing or wrong field,
            an id that comes twice, or no record. It names file, record and field.
    """
    path, form = Path(path), _form(kind)
    answers: dict[str, str] = {}
    unit = "record" if form.layout == "JSON list" else "line"
    for number, record in _records(path, form):
        try:
            name, answer = _parse(form, kind, record)
            if name in answers:
                raise ValueError(f"{form.id_field} {name!r} comes a second time.")
        except ValueError as error:
            raise ValueError(f"{path}, {unit} {number}: {error}") from None
        answers[name] = answer
    if not answers:
        raise ValueError(f"{path} holds no answer.")
    return answers


def _form(kind: str) -> Form:
    if kind not in FORMS:
        raise ValueError(f"kind must be one of {', '.join(FORMS)}, got {kind!r}.")
    return FORMS[kind]


def _check(form: Form, kind: str, name: str, answer: str) -> None:
    if not isinstance(name, str) or not form.ids.fullmatch(name):
        raise ValueError(
            f"{form.id_field} must look like {form.example} for {kind!r}, got {name!r}: is it another data set's?"
        )
    for field, text in ((form.id_field, name), (form.answer_field, answer)):
        if not is_unicode(text):
            raise ValueError(f"{field} is no valid Unicode text: {text!a:.80}.")
    if form.spellings and answer not in form.spellings:
        raise ValueError(f"{form.answer_field} must be 'true' or 'false' for {kind!r}, got {answer!r}.")


def _check_probabilities(kind: str, answers: Mapping[str, str], probabilities: Mapping[str, float]) -> None:
    if kind != "answers":
        raise ValueError(f"probabilities have no place in files of kind {kind!r}, only in 'answers'.")
    missing = [name for name in answers if name not in probabilities]
    if missing:
        raise ValueError(f"probabilities lacks {first_few(missing)} that answers has.")
    for name in answers:
        if not 0 <= probabilities[name] <= 1:
            raise ValueError(f"probabilities must lie in [0, 1], got {probabilities[name]} for question {name!r}.")


def _lines(form: Form, answers: Mapping[str, str], probabilities: Mapping[str, float] | None) -> Iterator[str]:
    before = "[\n"
    for name, answer in answers.items():
        if form.spellings is not None:
            yield f"{name},{form.spellings[answer]}\n"
            continue
        record: dict[str, Any] = {form.id_field: int(name) if form.id_is_number else name, form.answer_field: answer}
        if probabilities is not None:
            record["probability"] = float(probabilities[name])
        text = json.dumps(record, ensure_ascii=False)
        if form.layout == "JSON list":
            yield f"{before}{text}"
            before = ",\n"
        else:
            yield f"{text}\n"
    if form.layout == "JSON list":
        yield "\n]\n"


def _records(path: Path, form: Form) -> Iterator[tuple[int, Any]]:
    if form.layout == "JSON list":
        try:
            records = read_json(path)
        except BrokenJsonError as error:
            raise ValueError(f"{path}: broken JSON ({error.reason}): is it whole, and a JSON list?") from error
        if not isinstance(records, list):
            raise ValueError(f"{path} must hold one JSON list of answers, got {_short(records)}.")
        yield from enumerate(records, start=1)
        return
    for number, line in enumerate(io.StringIO(read_utf8(path), newline=None), start=1):
        if not line.strip():
            continue
        if form.layout == "values":
            yield number, line.strip().split(",")
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = reason_of(error)
            raise ValueError(f"{path}, line {number}: broken JSON ({reason}); write one object a line.") from error
        yield number, record


def _parse(form: Form, kind: str, record: Any) -> tuple[str, str]:
    if form.layout == "values":
        if len(record) != 2:
            raise ValueError(
                f"must be {form.id_field},{form.answer_field} for {kind!r}, got {_short(','.join(record))}."
            )
        name, answer = record[0].strip(), record[1].strip().lower()  # the official scripts compare without case
    else:
        if not isinstance(record, dict):
            raise ValueError(f"must be an object, got {_short(record)}.")
        for field in (form.id_field, form.answer_field):
            if field not in record:
                fields = ", ".join(map(repr, record)) or "no field"
                raise ValueError(f"lacks {field!r}, has {fields}: is this a file of kind {kind!r}?")
        name, answer = record[form.id_field], record[form.answer_field]
        if type(name) is not (int if form.id_is_number else str):
            wanted = "a whole number" if form.id_is_number else "a text"
            raise ValueError(f"{form.id_field} must be {wanted} for {kind!r}, got {_short(name)}.")
        if not isinstance(answer, str):
            raise ValueError(f"{form.answer_field} must be a text, got {_short(answer)}.")
        name = str(name)
    _check(form, kind, name, answer)
    return name, answer


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    text = text if is_unicode(text) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
