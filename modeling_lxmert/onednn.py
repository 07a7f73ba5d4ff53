"""Linear layers by oneDNN instead of PyTorch's default matrix library, on a CPU in float32."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.parameter import Parameter
from transformers.utils.import_utils import is_tracing


def use_onednn(model: nn.Module) -> nn.Module:
    """Let all linear layers of a model compute by oneDNN where they run on a CPU in float32, forward and backward.

    PyTorch takes Intel's MKL for float32 products, which on CPUs of other makers runs at half of their rate; for
    bfloat16 it takes oneDNN already. Results differ by rounding. Weights, names and files stay as they are, and
    everywhere else, also under autocast and when compiled, the layers do what they did. Gradients of gradients and
    `torch.func` are not to be had.

    Args:
        model: any module; changed in place.

    Returns:
        The model.

    Raises:
        RuntimeError: a PyTorch without oneDNN.

    Example:
        >>> from lxmert import LxmertConfig, LxmertModel
        >>> model = LxmertModel(LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64))
        >>> type(use_onednn(model).pooler.dense).__name__
        'OneDnnLinear'
    """
    if not torch.backends.mkldnn.is_available():
        raise RuntimeError("This PyTorch was built without oneDNN (torch.backends.mkldnn): leave use_onednn out.")
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OneDnnLinear
    return model


class OneDnnLinear(nn.Linear):
    """`nn.Linear` with the same parameters, see `use_onednn`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002, the name that nn.Linear gives it
        """(..., in_features) to (..., out_features)."""
        fits = (
            type(self.weight) is Parameter  # no shard
            and input.device.type == "cpu"
            and input.dtype == self.weight.dtype == torch.float32
            and input.numel() > 0
            and input.shape[-1] == self.in_features
            and not torch.is_autocast_enabled("cpu")
            and not is_tracing(input)
        )
        return _Product.apply(input, self.weight, self.bias) if fits else super().forward(input)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(states, weight)
        ctx.has_bias = bias is not None
        return _multiply(states, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, weight = ctx.saved_tensors
        rows, by_row = (tensor.reshape(-1, tensor.shape[-1]) for tensor in (gradient, states))  # (N, out), (N, in)
        of_states, of_weight, of_bias = ctx.needs_input_grad
        return (
            _multiply(gradient, weight.t(), None) if of_states else None,
            _multiply(rows.t(), by_row.t(), None) if of_weight else None,
            rows.sum(0) if of_bias and ctx.has_bias else None,
        )


def _multiply(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """(..., in) by weights (out, in)."""
    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
