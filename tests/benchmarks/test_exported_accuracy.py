"""The table of engines and precisions: real questions, one by one, and what a line says."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from tests.conftest import ROOT, shared_folder

CHECKPOINT = ROOT / "checkpoints" / "nlvr"


@pytest.fixture(scope="module")
def benchmark(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("exported_accuracy")


def test_pytorch_answers_real_questions(benchmark: ModuleType, tmp_path: Path) -> None:
    questions, inputs = benchmark.nlvr_inputs(shared_folder("data/nlvr"), CHECKPOINT)
    assert len(questions) == len(inputs) == 989
    model = LxmertForQuestionAnswering.from_pretrained(CHECKPOINT, dtype=torch.float32)
    contestant = next(benchmark.contestants(model, tmp_path))
    assert contestant.names == ("PyTorch", "float32", "float32")
    found = benchmark.answer(contestant, inputs[:100])
    right = [model.config.id2label[row.argmax()] == q.answer for row, q in zip(found.logits, questions, strict=False)]
    assert sum(right) > 80
    assert 0 < found.rest < found.whole


def test_a_line_counts_other_answers(benchmark: ModuleType) -> None:
    reference = benchmark.Outcome(np.array([[0.0, 1.0], [2.0, 0.0]]), 4.0, 3.0)
    found = benchmark.Outcome(np.array([[0.0, 1.5], [0.0, 0.25]]), 2.0, 1.0)
    contestant = benchmark.Contestant(("engine", "int8", "float32"), 1_500_000, print, print)
    line = benchmark.row(contestant, found, reference, None)
    assert line == ["engine", "int8", "float32", "1.50", "", "", "1 of 2", "2.0e+00", "2.00", "1.00"]
    assert len(line) == len(benchmark.COLUMNS)
