import pytest

from lxmert import LxmertForImageAndTextRetrieval, LxmertForQuestionAnswering, LxmertForVisualReasoning
from lxmert.processing import Question
from lxmert.training import TASKS
from lxmert.training.evaluate import Predictions

QUESTIONS = [
    Question(("1",), "red?", {"yes": 1.0}, "a", kinds={"sentence": "s"}),
    Question(("2",), "red?", {"no": 1.0}, "b", kinds={"sentence": "s"}),
]


def test_defaults_are_the_papers() -> None:
    rates = {name: task.settings("unused").learning_rate for name, task in TASKS.items()}
    assert (rates["vqa"], rates["gqa"], rates["nlvr2"]) == (5e-5, 1e-5, 5e-5)
    for name in ("vqa", "gqa", "nlvr2"):
        settings = TASKS[name].settings("unused")
        assert (settings.batch_size, settings.epochs, settings.warmup_share) == (32, 4, 0.1)
        assert settings.max_gradient_norm == 5.0
        assert TASKS[name].max_length == 20
    assert {name for name, task in TASKS.items() if task.targets == "scores"} == {"vqa", "gqa"}
    assert TASKS["vqa"].minimum_answer_count == 9
    heads = {name: task.head for name, task in TASKS.items()}
    assert heads["nlvr2"] is LxmertForVisualReasoning
    assert heads["retrieval"] is LxmertForImageAndTextRetrieval
    assert {heads[name] for name in TASKS.keys() - {"nlvr2", "retrieval"}} == {LxmertForQuestionAnswering}
    assert [name for name, task in TASKS.items() if name != task.name] == []


def test_fixed_answers_are_the_heads() -> None:
    for name in ("nlvr2", "nlvr"):
        assert TASKS[name].answers == ("false", "true"), "1 is true, as in the head"
    assert TASKS["retrieval"].answers == ("not matched", "matched")


def test_answers_of_a_file_are_judged_as_a_models() -> None:
    task = TASKS["my_dataset"]
    judgement = task.judge_answers(QUESTIONS, {"a": "yes", "b": "yes"})
    assert judgement.figures["accuracy"] == 0.5
    assert judgement.predictions == Predictions({"a": "yes", "b": "yes"}, {})
    assert "accuracy" in str(judgement)
    assert "0.5000" in str(judgement)
    assert "accuracy/sentence" not in str(judgement), "kinds of questions stand in the report"
    with pytest.raises(ValueError, match="'c'.*no question has"):
        task.judge_answers(QUESTIONS, {"a": "yes", "b": "yes", "c": "no"})
    with pytest.raises(ValueError, match=r"lacks 1 id \('b'\)"):
        task.judge_answers(QUESTIONS, {"a": "yes"})


def test_withheld_answers_are_not_judged() -> None:
    withheld = [Question(("1",), "red?", question_id="a")]
    judgement = TASKS["vqa"].judge_answers(withheld, {"a": "yes"})
    assert judgement.figures == {}
    assert "withheld" in str(judgement)
    with pytest.raises(ValueError, match="Task retrieval has no answers"):
        TASKS["retrieval"].judge_answers(withheld, {"a": "yes"})


def test_splits_to_judge_by() -> None:
    assert {name: task.default_split for name, task in TASKS.items() if name != "my_dataset"} == {
        "vqa": "validation",
        "gqa": "testdev",
        "nlvr2": "dev",
        "nlvr": "dev",
        "easy_vqa": "test",
        "retrieval": "test",
    }
    with pytest.raises(ValueError, match="my_dataset has no splits of its own: name a file"):
        TASKS["my_dataset"].default_split  # noqa: B018
