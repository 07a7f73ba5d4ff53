"""Compiling what a model consists of mostly: its repeated layers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

BACKEND = "inductor"
GRAPHS = 64


@contextmanager
def compiled_layers(model: torch.nn.Module) -> Iterator[None]:
    """Run the layers of all encoders compiled meanwhile, without a break in their graphs.

    A graph is made for each form in which states come (packed, masked, bare; first, middle or last layer; training or
    evaluation), twice: for the first shape, and at the second one for any. Weights keep their names.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.compile(fullgraph=True, backend=BACKEND)
    try:
        # The layers of all kinds are one piece of code to the compiler, which allows 8 graphs of a piece by default.
        with torch._dynamo.config.patch(recompile_limit=GRAPHS):
            yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
