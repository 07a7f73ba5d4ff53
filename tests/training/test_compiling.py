"""Compiled layers and those of oneDNN: the same weights, no graph for each shape of a batch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lxmert.training import compiling, train
from tests.training.test_feeding import make_task
from tests.training.test_pretraining import make_model, make_settings


@pytest.mark.parametrize(("batch_size", "sentences_per_image"), [(8, 1), (6, 3)])
def test_batches_of_any_shape_share_a_few_graphs_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, sentences_per_image: int
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")  # traces as any, and takes no minutes
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    task = make_task(tmp_path)
    plain, compiled = make_model(task), make_model(task)
    sizes = {"batch_size": batch_size, "sentences_per_image": sentences_per_image}
    settings = make_settings(tmp_path / "plain", **sizes)
    train(plain, task, settings)
    train(compiled, task, replace(settings, output_dir=tmp_path / "compiled", compile_layers=True))
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(compiled.get_parameter(name), parameter, atol=1e-6, rtol=1e-5, msg=name)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert 0 < counters["stats"]["unique_graphs"] <= 24
    assert all(module._compiled_call_impl is None for module in compiled.modules())
    assert [name for name in compiled.state_dict() if "_orig_mod" in name] == []


def test_layers_of_onednn_learn_the_same(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    plain, fast = make_model(task), make_model(task)
    settings = make_settings(tmp_path / "plain", epochs=1)
    train(plain, task, settings)
    train(fast, task, replace(settings, output_dir=tmp_path / "fast", onednn=True))
    assert {type(module).__name__ for module in fast.modules() if isinstance(module, torch.nn.Linear)} == {
        "OneDnnLinear"
    }
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(fast.get_parameter(name), parameter, atol=1e-4, rtol=1e-3, msg=name)
