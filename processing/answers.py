"""Answers: cleaned, counted into a table, or read from a released list."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
import pyarrow.compute as pc

from lxmert.processing.questions import Question, QuestionTable
from lxmert.processing.whole_json import is_unicode, read_json

ARTICLES = ("a ", "an ", "the ")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
REWRITTEN = {"grey": "gray"} | {word: str(number) for number, word in enumerate(NUMBERS, start=1)}
BATCH_ROWS = 10_000


def clean_answer(answer: str) -> str:
    """Bring an answer to the form that the pre-training answers have (the original's `convert_ans`).

    Lower case; without one full stop at the end; without a leading "a", then "an", then "the"; the words one to ten
    as digits; grey as gray.

    Example:
        >>> clean_answer("The man.")
        'man'
        >>> clean_answer("Two"), clean_answer("grey"), clean_answer("an umbrella")
        ('2', 'gray', 'umbrella')
        >>> clean_answer("the a team"), clean_answer("a the end")  # each article once, in this order
        ('a team', 'end')
    """
    answer = answer.lower()
    if answer.endswith("."):
        answer = answer[:-1].strip()
    for article in ARTICLES:
        if answer.startswith(article):
            answer = answer[len(article) :].strip()
    return REWRITTEN.get(answer, answer)


def build_answer_table(records: datasets.Dataset, minimum_count: int = 1) -> list[str]:
    """The answers that occur in records, whatever their data set; one text is one answer.

    What counts is the number of sentences that have the answer, however small its score: a table exists to cover
    questions, and 10,000 questions with a second answer of score 0.3 are no fewer questions.

    Args:
        records: with a column `answers`, lists of strings; what `read_records` gives.
        minimum_count: leave out answers that fewer sentences have.

    Returns:
        Cleaned answers, most frequent first, then alphabetically; without the empty one.

    Raises:
        ValueError: no answer is frequent enough, or `minimum_count` below 1.
    """
    _check_minimum_count(minimum_count)
    counts: Counter[str] = Counter()
    columns = records.select_columns(["answers"]).with_format("arrow")
    for batch in columns.iter(batch_size=BATCH_ROWS):
        for entry in pc.value_counts(pc.list_flatten(batch["answers"])).to_pylist():
            if entry["values"]:
                counts[clean_answer(entry["values"])] += entry["counts"]
    return _frequent_answers(counts, minimum_count, "records", "sentences")


def build_answer_vocabulary(questions: Iterable[Question], minimum_count: int = 1) -> list[str]:
    """The answers that stand for questions, as they are spelt: the rows of an answer head for one data set.

    VQA v2 has 3129 of them by the literature's rule, 9 questions or more of its training and validation splits (the
    original's `trainval_label2ans.json`, which counts the empty answer); GQA 1842.

    Args:
        questions: of any data set; questions whose answers are withheld do not count.
        minimum_count: leave out answers that stand for fewer questions.

    Returns:
        Answers, most frequent first, then alphabetically; without the empty one.

    Raises:
        ValueError: no answer is frequent enough, or `minimum_count` below 1.

    Example:
        >>> build_answer_vocabulary([Question(("1",), "is it?", {answer: 1.0}) for answer in ("no", "yes", "no")])
        ['no', 'yes']
    """
    _check_minimum_count(minimum_count)
    if isinstance(questions, QuestionTable):
        counts: Counter[str] = Counter()
        for batch in questions.dataset.select_columns(["answers"]).with_format("arrow").iter(batch_size=BATCH_ROWS):
            for entry in pc.value_counts(pc.list_flatten(pc.list_slice(batch["answers"], 0, 1))).to_pylist():
                counts[entry["values"]] += entry["counts"]
    else:
        counts = Counter(question.answer for question in questions if question.answer is not None)
    return _frequent_answers(counts, minimum_count, "questions", "questions")


def _check_minimum_count(minimum_count: int) -> None:
    if minimum_count < 1:
        raise ValueError(f"minimum_count must be at least 1, got {minimum_count}.")


def _frequent_answers(counts: Counter[str], minimum_count: int, argument: str, counted: str) -> list[str]:
    del counts[""]
    kept = [answer for answer, count in counts.items() if count >= minimum_count]
    if not kept:
        raise ValueError(
            f"{argument} hold {len(counts)} different answers, none in {minimum_count} {counted} or more: lower "
            f"minimum_count, or give {argument} with answers."
        )
    return sorted(kept, key=lambda answer: (-counts[answer], answer))


def answer_ids(answers: Sequence[str]) -> dict[str, int]:
    """Rows of a table by answer: an entry counts as it is spelt and as records spell it, cleaned.

    So a released list keeps its order and spelling, and the cleaned answers of records find their rows all the same.
    What is spelt so in the table comes first, then the first of the entries that become equal.

    Example:
        >>> answer_ids(["Yes", "grey", "gray"])
        {'gray': 2, 'yes': 0, 'Yes': 0, 'grey': 1}
    """
    rows = list(enumerate(answers))
    return {clean_answer(answer): row for row, answer in reversed(rows)} | {answer: row for row, answer in rows}


def read_answer_list(path: str | Path, sources: Sequence[str] | None = None) -> list[str]:
    """A list of answers from a JSON file, in the file's order, which is that of a released answer head's rows.

    Args:
        path: a list of strings (the original's label2ans files), or of {"ans": ..., "dsets": [...]} objects (its
            all_ans.json).
        sources: keep the answers of these data sets only (the original's `qa_sets`); for the second form.

    Raises:
        FileNotFoundError: no such file.
        ValueError: broken JSON, another form, an answer that comes twice, is blank (but the empty one, which the
            original's list has) or no valid Unicode, or `sources` that the file does not know.
    """
    path = Path(path)
    content = read_json(path)
    if isinstance(content, list) and content and all(isinstance(entry, str) for entry in content):
        if sources is not None:
            raise ValueError(f"{path} does not say which data set an answer is from: leave sources out.")
        answers: list[str] = content
    else:
        answers = _answers_of_sources(path, content, sources)
    for answer in answers:
        if not is_unicode(answer) or (answer and not answer.strip()):
            raise ValueError(f"{path} has {answer!a:.80}, which is no answer: it is blank or no valid Unicode text.")
    repeated = [answer for answer, count in Counter(answers).items() if count > 1]
    if repeated:
        raise ValueError(f"{path} has the answer {repeated[0]!r} more than once: every answer is one row of the head.")
    return answers


def _answers_of_sources(path: Path, content: object, sources: Sequence[str] | None) -> list[str]:
    if not (isinstance(content, list) and content and all(_is_sourced_answer(entry) for entry in content)):
        raise ValueError(
            f'{path} must be a JSON list of answers, or of objects {{"ans": "yes", "dsets": ["vqa"]}}, all of one kind.'
        )
    if sources is None:
        return [entry["ans"] for entry in content]
    known = {source for entry in content for source in entry["dsets"]}
    if isinstance(sources, str) or not sources or not set(sources) <= known:
        raise ValueError(f"sources must be some of {sorted(known)}, a sequence of names, got {sources!r}.")
    return [entry["ans"] for entry in content if not set(sources).isdisjoint(entry["dsets"])]


def _is_sourced_answer(entry: object) -> bool:
    if not (isinstance(entry, dict) and isinstance(entry.get("ans"), str) and isinstance(entry.get("dsets"), list)):
        return False
    return all(isinstance(source, str) for source in entry["dsets"])
