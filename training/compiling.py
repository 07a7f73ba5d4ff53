"""Compiling what a model consists of mostly: its repeated layers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

BACKEND = "inductor"


@contextmanager
def compiled_layers(model: torch.nn.Module) -> Iterator[None]:
    """Run the layers of all encoders compiled meanwhile, without a break in their graphs.

    Layers of one kind share their code, so each kind is compiled once: for the first shape, and at the second one for
    any. Weights keep their names.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.compile(fullgraph=True, backend=BACKEND)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
