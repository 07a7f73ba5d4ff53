"""Figures as the Hub reads them: the card's `model-index`, and files of results for leaderboards."""

from collections.abc import Sequence

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from lxmert.hub.plain_errors import check_repo_id
from lxmert.hub.training_run import Evaluation
from lxmert.training import TASKS

TASK_TYPE = "visual-question-answering"
# Names on the Hub of data sets that tasks are judged by; of the others none is the authors' own.
DATASETS = {"vqa": "lmms-lab/VQAv2", "gqa": "lmms-lab/GQA"}
DIGITS = 4


def model_index(evaluations: Sequence[Evaluation], dataset: str | None = None) -> list[EvalResult]:
    """The overall figures of reports, for `ModelCardData(eval_results=...)`.

    Args:
        evaluations: of the model; a figure that repeats for the same task and split is that of the last report.
        dataset: name of the data set on the Hub, where the task has no known one.
    """
    found: dict[tuple[str, str | None, str], EvalResult] = {}
    for each in evaluations:
        task = each.task or "my_dataset"
        title = each.title if each.task is None else TASKS[each.task].title
        for name, value in each.overall.items():
            found[task, each.split, name] = EvalResult(
                task_type=TASK_TYPE,
                task_name="Visual Question Answering",
                dataset_type=dataset or DATASETS.get(task, task),
                dataset_name=title,
                dataset_split=each.split,
                metric_type=name,
                metric_name=name.replace("_", " "),
                metric_value=round(value, DIGITS),
            )
    return list(found.values())


def results_file(evaluations: Sequence[Evaluation], benchmark: str, source_url: str) -> tuple[str, str]:
    """Path and content of a file in `.eval_results`, with the first overall figure of the last report.

    Args:
        evaluations: of the model, one at least.
        benchmark: data set on the Hub that is registered as a benchmark, or NAME:TASK; the task is "default" otherwise.
        source_url: page that says how the figure came about.

    Raises:
        ValueError: no report with an overall figure, or another form of `benchmark`.
    """
    name, _, task = benchmark.partition(":")
    check_repo_id(name, "benchmark")
    judged = [each for each in evaluations if each.overall]
    if not judged:
        raise ValueError("benchmark needs a figure: judge the model first (examples/5_evaluate.py, then --evaluation).")
    metric, value = next(iter(judged[-1].overall.items()))
    entry = EvalResultEntry(
        dataset_id=name,
        task_id=task or "default",
        value=round(value, DIGITS),
        source_url=source_url,
        source_name="Model card",
        notes=f"{metric}, {judged[-1].questions} questions of {judged[-1].title}",
    )
    content = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
    return f".eval_results/{name.split('/')[1].lower()}.yaml", content
