from lxmert.modeling_lxmert.pretraining import TASKS
from lxmert.training.pretraining_report import NAMES, PretrainingStart, pretraining_table


def test_every_task_has_a_row() -> None:
    assert tuple(NAMES) == TASKS
    figures = dict.fromkeys(TASKS, 0.5)
    end = {f"validation_{name}": 0.25 for name in TASKS} | {"validation_count_accuracy": 0.875}
    trivial = {"grounding": {"frequency": 0.4, "most_frequent_accuracy": 0.75}}
    rows = pretraining_table(PretrainingStart(figures, trivial), end).splitlines()[2:]
    assert len(rows) == len(TASKS)
    assert rows[-2:] == [
        "| grounding | 0.500 | 0.400 | 0.250 | 75.0 % | - |",
        "| counting | 0.500 | - | 0.250 | - | 87.5 % |",
    ]


def test_tasks_that_were_not_measured_have_no_row() -> None:
    start = PretrainingStart({"qa": 0.7}, {})
    assert pretraining_table(start, {"validation_qa": 0.1, "validation_count": 0.2}).count("\n") == 2
