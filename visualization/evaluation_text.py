"""The report of an evaluation as Markdown."""

import math
from collections.abc import Iterable, Sequence

from lxmert.visualization.evaluation_data import EvaluationReport, Tally
from lxmert.visualization.texts import counted, shortened

MOST_ROWS = 50
LONGEST_CELL = 300
SPECIAL = "\\`*_{}[]<>|#~$&"  # what Markdown, or a page that shows it, would read as more than a character


def report_text(report: EvaluationReport, answers_picture: str, worst_picture: str | None, data_file: str) -> str:
    """The report as a page of Markdown.

    Args:
        report: what to tell.
        answers_picture: file of the answers' bars.
        worst_picture: file of the worst answers, if they are drawn.
        data_file: where the rest is, for long tables.
    """
    parts = [f"# {_cell(report.title)}", _summary(report)]
    plain = {name: value for name, value in report.figures.items() if not _kind_of(report, name)}
    if plain:
        rows = [(_cell(name), _number(value)) for name, value in plain.items()]
        parts += ["## Figures", _table(("figure", "value"), rows, data_file)]
    parts += ["## Answers", f"![The most frequent answers]({answers_picture})", _answers(report, data_file)]
    if report.confusions:
        confusions = [(_cell(truth), _cell(answer), f"{count:,}") for truth, answer, count in report.confusions]
        parts += ["## Confusions", _table(("right answer", "answer given", "questions"), confusions, data_file)]
    for kind, values in report.kinds.items():
        parts += [f"## By {_cell(kind)}", _kind(report, kind, values, data_file)]
    parts += ["## Worst answers", *_worst(report, worst_picture, data_file)]
    return "\n\n".join(parts) + "\n"


def _summary(report: EvaluationReport) -> str:
    overall = report.overall
    text = f"{counted(report.questions, 'question')} about {counted(report.images, 'image')}."
    if not overall.questions:
        return f"{text} The right answers are not known, so nothing is said about how many are right."
    if overall.questions < report.questions:
        text += f" The right answer is known for {overall.questions:,}; all that follows is about these."
    text += f" Answered right: {overall.right:,} ({_share(overall.right / overall.questions)})."
    if report.soft:
        text += f" Answers are scored from 0 to 1; the mean score is {_share(overall.score)}."
    if overall.probability is not None:
        text += f" The mean probability of the model's answers is {_share(overall.probability)}."
    return text


def _answers(report: EvaluationReport, data_file: str) -> str:
    if not report.overall.questions:
        rows = [(_cell(tally.answer), f"{tally.given:,}") for tally in report.answers]
        return _table(("answer", "given"), rows, data_file)
    names = ["answer", "questions", "right", "share right", "mean score", "given", "most often given instead"]
    cells = [
        [
            _cell(tally.answer),
            f"{tally.questions:,}",
            f"{tally.right:,}",
            _share(tally.right / tally.questions) if tally.questions else "-",
            _share(tally.score) if tally.questions else "-",
            f"{tally.given:,}",
            "-" if tally.instead is None else f"{_cell(tally.instead)} ({tally.instead_count:,})",
        ]
        for tally in report.answers
    ]
    if not report.soft:
        for row in [names, *cells]:
            del row[4]
    return _table(names, cells, data_file)


def _kind(report: EvaluationReport, kind: str, values: dict[str, Tally], data_file: str) -> str:
    metrics = list(dict.fromkeys(name.split("/")[0] for name in report.figures if _kind_of(report, name) == kind))
    rows = [
        [
            _cell(value),
            f"{tally.questions:,}",
            f"{tally.right:,}",
            _share(tally.right / tally.questions),
            *(_number(report.figures.get(f"{metric}/{kind}/{value}")) for metric in metrics),
        ]
        for value, tally in values.items()
    ]
    return _table([_cell(kind), "questions", "right", "share right", *map(_cell, metrics)], rows, data_file)


def _kind_of(report: EvaluationReport, name: str) -> str | None:
    """The kind of a figure `metric/kind/value` that stands in the kind's own table."""
    parts = name.split("/", 2)
    return parts[1] if len(parts) == 3 and parts[2] in report.kinds.get(parts[1], {}) else None


def _worst(report: EvaluationReport, picture: str | None, data_file: str) -> list[str]:
    if not report.overall.questions:
        return ["Which answers are wrong is not known."]
    if not report.worst:
        return ["None: every answer is right."]
    rows = [
        (
            _cell(wrong.question_id),
            _cell(" and ".join(wrong.image_ids)),
            _cell(wrong.question),
            _cell(wrong.answer),
            "-" if wrong.probability is None else _share(wrong.probability),
            _cell(wrong.truth),
        )
        for wrong in report.worst
    ]
    names = ("id", "image", "question", "answer given", "its probability", "right answer")
    shown = [f"![The worst answers with their pictures]({picture})"] if picture else ["They are not drawn."]
    sure = "that the model was surest of" if report.worst[0].probability is not None else "in the questions' order"
    return [f"Wrong answers {sure}.", *shown, _table(names, rows, data_file)]


def _table(names: Sequence[str], rows: Sequence[Iterable[str]], data_file: str) -> str:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(row)} |" for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"The first {MOST_ROWS} of {len(rows):,}; all are in [{data_file}]({data_file})."]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """A text as it is, on one line."""
    return "".join(
        f"\\{character}" if character in SPECIAL else character for character in shortened(text, LONGEST_CELL)
    )


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"
