"""Linear layers by oneDNN: the same results, files and behaviour."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering
from lxmert.modeling_lxmert import onednn, use_onednn
from tests.conftest import make_batch, make_masks
from tests.modeling_lxmert.test_packing import PRETRAINING, check_equal, run, visual_labels

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what oneDNN multiplied."""
    shapes: list[tuple[int, ...]] = []
    multiply = onednn._multiply
    monkeypatch.setattr(onednn, "_multiply", lambda x, *rest: shapes.append(tuple(x.shape)) or multiply(x, *rest))
    return shapes


def test_losses_and_gradients_are_equal(
    small_config: Callable[..., LxmertConfig], products: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    model = LxmertForPreTraining(small_config()).eval()
    labels = PRETRAINING | {"obj_labels": visual_labels(3), "return_logits": False}
    inputs = make_batch() | make_masks() | labels
    expected = run(model, inputs, "loss")
    assert not products
    check_equal(run(use_onednn(model), inputs, "loss"), expected)
    assert len(products) > 100


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_one_layer_of_any_shape(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(3, 7, bias=bias)
    fast = use_onednn(copy.deepcopy(plain))
    states = torch.randn(shape, requires_grad=True)
    same = states.detach().clone().requires_grad_()
    for layer, each in ((plain, states), (fast, same)):
        layer(each).sin().sum().backward()
    torch.testing.assert_close(fast(same), plain(states))
    torch.testing.assert_close(same.grad, states.grad)
    for mine, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_frozen_weights_get_no_gradient() -> None:
    layer = use_onednn(torch.nn.Linear(3, 7))
    layer.weight.requires_grad_(False)
    states = torch.randn(2, 3, requires_grad=True)
    layer(states).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(states.grad, layer.weight.sum(0).expand(2, 3))


def test_elsewhere_the_layers_do_what_they_did(
    small_model: LxmertForQuestionAnswering, products: list[tuple[int, ...]]
) -> None:
    inputs = make_batch() | make_masks()
    half, traced = copy.deepcopy(small_model).bfloat16(), torch.compile(small_model, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = small_model(**inputs).logits
        in_half = half(**inputs).logits
        with torch.autocast("cpu", torch.bfloat16):
            in_autocast = small_model(**inputs).logits
        use_onednn(small_model)
        assert torch.equal(use_onednn(half)(**inputs).logits, in_half)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(small_model(**inputs).logits, in_autocast)
        torch.testing.assert_close(traced(**inputs).logits, expected)
    assert not products


def test_files_are_the_same(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    names = list(small_model.state_dict())
    use_onednn(small_model).save_pretrained(tmp_path)
    loaded = LxmertForQuestionAnswering.from_pretrained(tmp_path)
    assert list(loaded.state_dict()) == names
    assert type(loaded.lxmert.pooler.dense) is torch.nn.Linear
    inputs = make_batch()
    torch.testing.assert_close(loaded(**inputs).logits, small_model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_a_build_without_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="without oneDNN"):
        use_onednn(torch.nn.Linear(2, 2))
