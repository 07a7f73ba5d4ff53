import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from lxmert.processing import Question
from lxmert.training import AnswerCollator, answer_all, predict_answers
from tests.conftest import ROOT
from tests.training.conftest import ColourTask

QUESTIONS = [Question((f"image {i % 24}",), "what color is it?", {"red": 1.0}, f"q{i}") for i in range(11)]


def test_answers_come_with_their_probabilities(colour_task: ColourTask) -> None:
    model = colour_task.model().train()
    texts = {number: answer for answer, number in colour_task.label2id.items()}
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)
    predictions = predict_answers(model, DataLoader(QUESTIONS, 4, collate_fn=collate), QUESTIONS, texts)
    assert model.training
    assert list(predictions.answers) == [f"q{i}" for i in range(11)]
    with torch.no_grad():
        scores = model.eval()(**collate(QUESTIONS)).logits.softmax(-1)
    for row, question in enumerate(QUESTIONS):
        assert predictions.answers[question.question_id] == texts[int(scores[row].argmax())]
        assert predictions.probabilities[question.question_id] == pytest.approx(scores[row].max().item(), abs=1e-5)


def test_a_loader_of_other_questions_is_noticed(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)
    loader = DataLoader(QUESTIONS[:5], 4, collate_fn=collate)
    with pytest.raises(ValueError, match="gave 5 answers to 11 questions"):
        predict_answers(colour_task.model(), loader, QUESTIONS, {i: str(i) for i in range(5)})
    with pytest.raises(ValueError, match="'q0'.*more than once"):
        answer_all(colour_task.model(), colour_task.processor, QUESTIONS[:1] * 2, colour_task.store, description=None)
    with pytest.raises(ValueError, match="no question to answer"):
        answer_all(colour_task.model(), colour_task.processor, [], colour_task.store)


def test_answers_are_cut_as_in_training(colour_task: ColourTask) -> None:
    long = [Question(("image 0",), "is it red? " * 20, {"crimson": 1.0}, "a")]  # an answer that the model lacks
    answered = answer_all(colour_task.model(), colour_task.processor, long, colour_task.store, description=None)
    assert answered.answers["a"] in colour_task.label2id


@pytest.mark.slow
def test_two_processes_answer_every_question_once(colour_task: ColourTask, tmp_path: Path) -> None:
    """Seven questions in batches of two: the last round of batches is not full."""
    model = colour_task.model()
    model.save_pretrained(tmp_path / "model")
    colour_task.processor.save_pretrained(tmp_path / "model")
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import atexit
import json
import torch
from accelerate import PartialState
from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.processing import Question, RegionStore
from lxmert.training import TASKS


def last() -> None:
    if not torch.distributed.is_initialized():
        open(f"{tmp_path}/{{number}} left", "w").close()

atexit.register(last)
model = LxmertForQuestionAnswering.from_pretrained({str(tmp_path / "model")!r})
processor = LxmertProcessor.from_pretrained({str(tmp_path / "model")!r})
questions = [Question((f"image {{i}}",), "what color is it?", {{"red": 1.0}}, f"q{{i}}") for i in range(7)]
store = RegionStore({str(colour_task.store.path)!r})
judgement = TASKS["my_dataset"].judge(model, processor, questions, store, batch_size=2)
number = PartialState().process_index
with open(f"{tmp_path}/{{number}}.json", "w") as file:
    json.dump([judgement.figures, judgement.predictions.answers, judgement.predictions.probabilities], file)
"""
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program)]
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert result.returncode == 0, result.stderr
    assert all((tmp_path / f"{number} left").exists() for number in range(2)), "who ends connected may abort"
    expected = answer_all(model, colour_task.processor, QUESTIONS[:7], colour_task.store, description=None)
    for number in range(2):
        figures, answers, probabilities = json.loads((tmp_path / f"{number}.json").read_text())
        assert answers == expected.answers
        assert probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert figures["accuracy"] == sum(answer == "red" for answer in answers.values()) / 7
