from pathlib import Path

import pytest
import torch

from lxmert.training import TrainingSettings
from lxmert.training.optimizer import UncorrectedAdamW, make_optimizer


def test_every_step_follows_the_formula() -> None:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(3, 2, dtype=torch.float64)) for _ in range(2)]
    unused = torch.nn.Parameter(torch.ones(1))
    expected = [parameter.detach().clone() for parameter in parameters]
    means, squares = [torch.zeros_like(p) for p in expected], [torch.zeros_like(p) for p in expected]
    optimizer = UncorrectedAdamW([*parameters, unused], lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.2)
    for step in range(5):
        rate = 0.1 / (step + 1)  # as a schedule changes it
        optimizer.param_groups[0]["lr"] = rate
        for i, parameter in enumerate(parameters):
            gradient = torch.randn_like(parameter)
            parameter.grad = gradient.clone()
            means[i] = 0.9 * means[i] + 0.1 * gradient
            squares[i] = 0.99 * squares[i] + 0.01 * gradient**2
            expected[i] = expected[i] - rate * (means[i] / (squares[i].sqrt() + 1e-3) + 0.2 * expected[i])
        optimizer.step()
        for parameter, wanted in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.detach(), wanted, atol=1e-12, rtol=1e-12)
    assert unused.item() == 1
    assert unused not in optimizer.state


def test_the_first_step_by_hand() -> None:
    """m = 0.1 * 2 = 0.2, v = 0.001 * 4 = 0.004; 1 - 0.5 * (0.2 / 0.0632... + 0.01 * 1)"""
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.full((1,), 2.0)
    UncorrectedAdamW([parameter], lr=0.5, eps=0.0).step()
    assert parameter.item() == pytest.approx(1 - 0.5 * (0.2 / 0.004**0.5 + 0.01))


def test_settings_choose_the_optimiser(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    common = {"learning_rate": 0.5, "weight_decay": 0.25, "adam_epsilon": 1e-6}
    corrected = make_optimizer([parameter], TrainingSettings(tmp_path, **common))
    plain = make_optimizer([parameter], TrainingSettings(tmp_path, **common, bias_correction=False))
    assert isinstance(corrected, torch.optim.AdamW)
    assert isinstance(plain, UncorrectedAdamW)
    for optimizer in (corrected, plain):
        assert {name: optimizer.defaults[name] for name in ("lr", "weight_decay", "eps")} == {
            "lr": 0.5,
            "weight_decay": 0.25,
            "eps": 1e-6,
        }
    assert corrected.defaults["fused"]


def test_a_closure_is_evaluated() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = UncorrectedAdamW([parameter], lr=0.5, eps=0.0)

    def closure() -> float:
        loss = (3 * parameter).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 3
    assert parameter.item() == pytest.approx(1 - 0.5 * (0.3 / 0.009**0.5 + 0.01))
