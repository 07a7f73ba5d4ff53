"""What a model answered to a data set, as data, text and pictures: where it is right, what it takes for what."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.processing.record_tables import check_is_free, write_whole
from lxmert.processing.region_extractor import ImageInput
from lxmert.visualization.answer_figures import draw_answer_figures
from lxmert.visualization.answers import AnsweredQuestion, ask_again, given_answers
from lxmert.visualization.evaluation_data import WORST, EvaluationReport, worst_questions
from lxmert.visualization.evaluation_text import report_text
from lxmert.visualization.report import draw_answers

TEXT_FILE, DATA_FILE, ANSWERS_PICTURE, WORST_PICTURE = "report.md", "report.json", "answers.png", "worst.png"


class Answered(Protocol):
    """Answers and how sure the model is of each, both by question id."""

    answers: dict[str, str]
    probabilities: dict[str, float]


def write_evaluation_report(
    folder: str | Path,
    title: str,
    questions: Sequence[Question],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float] | None = None,
    figures: Mapping[str, float] | None = None,
    worst: Sequence[AnsweredQuestion] | None = None,
    progress: bool = True,
) -> Path:
    """Write a report of answers into a folder; another report there is replaced, other files stay.

    | file | holds |
    |---|---|
    | report.md | figures, then by answer and by kind of question how many are right, confusions, the worst answers |
    | report.json | the same, and what is too long for a page |
    | answers.png | the most frequent answers, how many of each are right |
    | worst.png | the worst answers with their pictures, if `worst` is given |

    Args:
        folder: made if it is not there.
        title: what was judged on what.
        questions: with ids that differ; those without answers are counted, not judged.
        answers: by question id.
        probabilities: of these answers, by question id.
        figures: by name, shown as they are; of kinds of questions `metric/kind/value`.
        worst: those of `worst_questions`, to be drawn.
        progress: show a bar if it takes more than seconds.

    Returns:
        The path of report.md.

    Raises:
        ValueError: see `EvaluationReport.of`.
        FileExistsError: a file in the folder's place.
    """
    folder = Path(folder)
    count = max(WORST, len(worst or ()))
    report = EvaluationReport.of(title, questions, answers, probabilities, figures, count, progress)
    check_is_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw_answer_figures(report, folder / ANSWERS_PICTURE)
    if worst:
        surest = "" if probabilities is None else " that the model was surest of"
        draw_answers(worst, folder / WORST_PICTURE, f"{title}: wrong answers{surest}")
    else:
        (folder / WORST_PICTURE).unlink(missing_ok=True)
    content = json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(folder / DATA_FILE, lambda work: work.write_text(content, encoding="utf-8"))
    text = report_text(report, ANSWERS_PICTURE, WORST_PICTURE if worst else None, DATA_FILE)
    write_whole(folder / TEXT_FILE, lambda work: work.write_text(text, encoding="utf-8"))
    return folder / TEXT_FILE


def report_answers(
    folder: str | Path,
    model: Any,
    processor: LxmertProcessor | None,
    questions: Sequence[Question],
    predictions: Answered,
    figures: Mapping[str, float] | None = None,
    regions: RegionSource | None = None,
    pictures: Callable[[Iterable[str]], Mapping[str, ImageInput]] | None = None,
    title: str = "LXMERT's answers",
    count: int = WORST,
    max_length: int | None = None,
    progress: bool = True,
) -> Path:
    """`write_evaluation_report` with the worst answers drawn: asked again for attention where there is a model.

    Args:
        folder: see `write_evaluation_report`.
        model: see `answer_questions`; None where only its answers are at hand, which are drawn without attention.
        processor: goes with the model.
        questions: with ids that differ.
        predictions: answers and their probabilities.
        figures: by name.
        regions: by image id; without them nothing is drawn of the worst answers.
        pictures: gives those of some image ids, as far as they are known, by image id.
        title: what was judged on what.
        count: number of answers to draw.
        max_length: see `answer_questions`.
        progress: show a bar if it takes more than seconds.

    Returns:
        The path of report.md.

    Raises:
        ValueError: see `EvaluationReport.of`; a model without a processor.
    """
    if (model is None) != (processor is None):
        raise ValueError("model and processor go together: give both or none.")
    answers, probabilities = predictions.answers, predictions.probabilities or None
    rows = worst_questions(questions, answers, probabilities, count, progress) if regions is not None else []
    chosen = [questions[row] for row in rows]
    images = {} if pictures is None else pictures({image_id for question in chosen for image_id in question.image_ids})
    worst: list[AnsweredQuestion] = []
    if chosen and regions is not None:
        if model is None or processor is None:
            worst = given_answers(chosen, answers, probabilities, regions, images)
        else:
            worst = ask_again(model, processor, chosen, regions, images, max_length=max_length)
    return write_evaluation_report(folder, title, questions, answers, probabilities, figures, worst, progress)
