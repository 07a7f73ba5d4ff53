"""How many questions of each answer are right, as bars."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lxmert.processing.record_tables import write_whole
from lxmert.visualization.evaluation_data import AnswerTally, EvaluationReport
from lxmert.visualization.report import GREY, RIGHT, UNJUDGED
from lxmert.visualization.texts import boxes_for_missing_characters, counted, shortened, style_of, wrapped

MOST_ANSWERS = 25
LONGEST_ANSWER = 24
LACKING = "#ecd3d0"


def draw_answer_figures(report: EvaluationReport, path: str | Path, most: int = MOST_ANSWERS) -> Path:
    """Draw a bar for each of the most frequent answers: what share of its questions is right.

    Where right answers are not known, a bar tells how often the answer was given.

    Args:
        report: what to draw.
        path: of the picture, its ending .png, .svg or .pdf; its folder is made, and it appears when it is whole.
        most: number of answers.

    Returns:
        The path.
    """
    judged = bool(report.overall.questions)
    answers = [tally for tally in report.answers if tally.questions or not judged]
    shown = answers[:most]
    names = [shortened(tally.answer, LONGEST_ANSWER) for tally in shown]
    instead = [shortened(tally.instead or "", LONGEST_ANSWER) for tally in shown]
    style = style_of([report.title, *names, *instead])
    figure = Figure(figsize=(10, 1.9 + 0.32 * len(shown)), layout="constrained")
    axis = figure.subplots()
    figure.suptitle(wrapped(report.title, 90, 2), fontsize=13, **style)
    if judged:
        _draw_shares(axis, report, shown, instead, style)
    else:
        _draw_counts(axis, shown)
    axis.set_yticks(range(len(names)), names, fontsize=9, **style)
    axis.set_ylim(max(len(names), 3) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title(wrapped(_subtitle(report, answers, shown), 105, 2), fontsize=10, loc="left", color=GREY, pad=22)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with boxes_for_missing_characters():
        write_whole(path, lambda work: figure.savefig(work, dpi=110, format=path.suffix.lstrip(".") or "png"))
    return path


def _draw_shares(
    axis: Axes, report: EvaluationReport, shown: list[AnswerTally], instead: list[str], style: dict[str, Any]
) -> None:
    places = range(len(shown))
    scores = [tally.score for tally in shown]
    axis.barh(places, [1.0] * len(shown), color=LACKING, height=0.7)
    axis.barh(places, scores, color=RIGHT, height=0.7)
    heading, meaning = ("mean score", "mean score") if report.soft else ("share right", "share answered right")
    columns = (
        (1.14, "right", heading, [f"{score:.1%}" for score in scores]),
        (1.42, "right", "answered right", [f"{tally.right:,} of {tally.questions:,}" for tally in shown]),
        (
            1.46,
            "left",
            "most often given instead",
            [_instead(tally, name) for tally, name in zip(shown, instead, strict=True)],
        ),
    )
    for x, side, name, texts in columns:
        axis.text(x, -0.75, name, ha=side, va="bottom", fontsize=8.5, color=GREY)
        for place, text in zip(places, texts, strict=True):
            axis.text(x, place, text, ha=side, va="center", fontsize=8.5, **style)
    overall = report.overall.score
    axis.axvline(overall, color="black", linewidth=1, linestyle="--")
    axis.set_xlim(0, 2.0)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"], fontsize=8.5)
    axis.spines["bottom"].set_bounds(0, 1)
    handles = [
        Patch(color=RIGHT, label=f"{meaning}, of the questions to which this is the answer"),
        Patch(color=LACKING, label="the rest"),
        Line2D([], [], color="black", linewidth=1, linestyle="--", label=f"all questions: {overall:.1%}"),
    ]
    axis.figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9, frameon=False)


def _instead(tally: AnswerTally, name: str) -> str:
    return f"{name} ({tally.instead_count:,})" if tally.instead is not None else "-"


def _draw_counts(axis: Axes, shown: list[AnswerTally]) -> None:
    counts = [tally.given for tally in shown]
    axis.barh(range(len(shown)), counts, color=UNJUDGED, height=0.7)
    for place, count in enumerate(counts):
        axis.annotate(
            f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axis.set_xlabel("questions to which the model gave this answer", fontsize=9)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _subtitle(report: EvaluationReport, answers: list[AnswerTally], shown: list[AnswerTally]) -> str:
    if not report.overall.questions:
        text = f"{counted(report.questions, 'question')}; the right answers are not known"
        total, part = report.questions, sum(tally.given for tally in shown)
    else:
        total, part = report.overall.questions, sum(tally.questions for tally in shown)
        text = f"{counted(total, 'question')} with a known answer, {report.overall.right:,} answered right"
    if len(shown) < len(answers):
        text += f"; shown are the {len(shown)} most frequent of {len(answers):,} answers, those of {part / total:.0%}"
        text += " of the questions"
    return text
