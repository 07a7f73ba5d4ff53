"""The card of a model, made of its checkpoint, what its run left behind, and what a person says."""

import re

from huggingface_hub import ModelCardData

from lxmert.hub.card_details import CardDetails
from lxmert.hub.card_mark import with_mark
from lxmert.hub.card_usage import Usage
from lxmert.hub.checkpoint import Checkpoint, Example
from lxmert.hub.evaluation_results import DATASETS, TASK_TYPE, model_index
from lxmert.hub.markdown import one_line
from lxmert.hub.training_run import TrainingRun
from lxmert.training import TASKS

CURVE_FILE = "training_curve.png"
OF_THE_CARD = re.compile(rf"{re.escape(CURVE_FILE)}|widget/.*")  # files that a card shows
ANSWERS_SHOWN = 12
KINDS_SHOWN = 20  # figures of kinds of questions
WHAT = {
    "LxmertForQuestionAnswering": "answers questions about a picture with one of {answers}",
    "LxmertForVisualReasoning": "says whether a sentence is true of a pair of pictures",
    "LxmertForImageAndTextRetrieval": "says whether a sentence and a picture belong together",
    "LxmertForPreTraining": "was pre-trained on pictures and sentences, a start for other tasks",
}
CITATION = """\
```bibtex
@inproceedings{tan-bansal-2019-lxmert,
    title = {{LXMERT}: Learning Cross-Modality Encoder Representations from Transformers},
    author = {Tan, Hao and Bansal, Mohit},
    booktitle = {Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing (EMNLP-IJCNLP)},
    year = {2019},
}
```"""


def model_card(
    checkpoint: Checkpoint, run: TrainingRun, details: CardDetails, repo_id: str, auto_class: str | None = None
) -> str:
    """The text of the card, metadata first.

    Args:
        checkpoint: of the model, checked.
        run: that it is from.
        details: what a person says.
        repo_id: name on the Hub.
        auto_class: of transformers, that loads the code in the repository; None where there is no code.
    """
    title = details.title or default_title(run)
    known = [DATASETS[task] for task in run.tasks if task in DATASETS]
    datasets = list(dict.fromkeys(([details.dataset] if details.dataset else []) + known))
    results = model_index(run.evaluations, details.dataset)
    metadata = ModelCardData(
        language=details.language,
        license=details.license,
        library_name="lxmert",
        pipeline_tag=TASK_TYPE if checkpoint.answers_questions else None,
        tags=["lxmert", *run.tasks],
        datasets=datasets or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        eval_results=results or None,
        model_name=repo_id.split("/")[-1] if results else None,
        widget=[_widget(i, each) for i, each in enumerate(checkpoint.examples)] or None,
        co2_eq_emissions=details.emissions,
        training_data=[vars(entry) for entry in run.learned_from] or None,
    )
    sections = [
        (one_line(title), _introduction(checkpoint)),
        ("How to use it", str(Usage(checkpoint, repo_id, auto_class))),
        ("Examples", _examples(checkpoint)),
        ("Figures", _figures(run)),
        ("What it learned from, and how", _training(run)),
        ("What it is for", details.intended_use),
        ("Limits", details.limits),
        ("Bias", details.bias),
        ("Cost", _cost(details)),
        ("Licence", f"`{details.license}`. The data that it learned from have licences of their own."),
        ("Citation", CITATION),
    ]
    parts = [f"{'#' if i == 0 else '##'} {name}\n\n{text}" for i, (name, text) in enumerate(sections) if text]
    return with_mark(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(parts))


def default_title(run: TrainingRun) -> str:
    """A headline out of the tasks that the run has learned."""
    learned = [TASKS[task].title if task in TASKS else task for task in run.tasks]
    return f"LXMERT for {' and '.join(learned)}" if learned else "LXMERT"


def widget_path(number: int) -> str:
    """Where an example's picture lies in the repository."""
    return f"widget/{number}.png"


def _widget(number: int, example: Example) -> dict[str, object]:
    output = [{"label": example.answer, "score": round(example.probability, 3)}]
    return {"text": example.question, "src": widget_path(number), "output": output}


def _introduction(checkpoint: Checkpoint) -> str:
    answers = list(checkpoint.answers)
    shown = ", ".join(map(one_line, answers[:ANSWERS_SHOWN])) + (", ..." if len(answers) > ANSWERS_SHOWN else "")
    what = WHAT[checkpoint.head].format(answers=f"{len(answers):,} answers ({shown})")
    regions = (
        f"It finds the regions in the picture itself (`{checkpoint.extractor}`)."
        if checkpoint.extractor
        else f"It takes regions that a detector of yours has found, with features of width {checkpoint.feature_dim}."
    )
    return (
        f"A model after LXMERT (Tan & Bansal, EMNLP 2019) with {_count(checkpoint.parameters)} parameters that "
        f"{what}. {regions} Questions may have up to {checkpoint.longest} wordpieces."
    )


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} million" if parameters >= 1e5 else f"{parameters:,}"


def _examples(checkpoint: Checkpoint) -> str:
    rows = [
        f"| ![]({widget_path(i)}) | {one_line(each.question)} | {one_line(each.answer)} ({each.probability:.1%}) |"
        for i, each in enumerate(checkpoint.examples)
    ]
    return "\n".join(["| picture | question | its answer |", "|---|---|---|", *rows]) if rows else ""


def _figures(run: TrainingRun) -> str:
    parts = []
    if run.selection is not None:
        name, best = run.selection.removeprefix("validation_").replace("_", " "), run.best
        parts.append(
            f"The checkpoint was chosen by the {name} of held-out examples, {best[run.selection]:.4f} after epoch "
            f"{best['epoch']:g}; a figure that chooses flatters a little."
        )
    for each in run.evaluations:
        parts.append(f"**{one_line(each.title)}**, {each.questions:,} questions:")
        rows = list(each.overall.items())
        rows += [(name, value) for name, value in each.figures.items() if "/" in name][:KINDS_SHOWN]
        parts.append("\n".join(["| figure | value |", "|---|---|", *(f"| {one_line(n)} | {v:.4f} |" for n, v in rows)]))
    return "\n\n".join(parts) or "It has not been judged on held-out questions."


def _training(run: TrainingRun) -> str:
    parts = []
    if run.learned_from:
        rows = [f"| {one_line(x.task)} | {one_line(x.split)} | {x.questions:,} |" for x in run.learned_from]
        parts.append("\n".join(["| task | split | questions |", "|---|---|---|", *rows]))
    else:
        parts.append("What it learned from is not recorded.")
    if run.withheld:
        parts.append(f"It was trained with the {run.withheld} withheld: an ablation, not for use.")
    if run.history:
        parts.append(f"![Training loss and held-out figure by epoch]({CURVE_FILE})")
    if run.settings:
        rows = [f"| {name.replace('_', ' ')} | {one_line(value)} |" for name, value in run.settings.items()]
        parts.append("\n".join(["| setting | value |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _cost(details: CardDetails) -> str:
    cost = details.cost
    known = [
        f"{cost.hours:g} hours" if cost.hours else None,
        f"on {one_line(cost.hardware)}" if cost.hardware else None,
    ]
    said = " ".join(part for part in known if part)
    if cost.grams is not None:
        said += f", about {cost.grams:.3g} g of CO2 equivalent at {cost.watts:g} W and {cost.grams_per_kwh:g} g/kWh"
    return f"Training took {said}." if said else "Time and electricity of its training were not recorded."
