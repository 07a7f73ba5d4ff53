"""One exported graph in ONNX Runtime or OpenVINO: arrays by name in, arrays out."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lxmert.engines.packages import openvino_core, require
from lxmert.engines.record import Format

Compute = Literal["float32", "bfloat16"]


class Graph(Protocol):
    """A graph that an engine has loaded."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run once; gives the outputs in the graph's order."""


class OnnxRuntimeGraph:
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, file: Path, threads: int | None = None):
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 lets it choose
        self.session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run once; gives the outputs in the graph's order."""
        return list(self.session.run(None, dict(inputs)))


class OpenVinoGraph:
    """A graph in OpenVINO, on the CPU, compiled so that one batch is done as soon as possible."""

    def __init__(self, file: Path, threads: int | None = None, compute: Compute = "float32"):
        core = openvino_core()
        if compute == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError('compute="bfloat16" needs a processor with bfloat16 instructions, which this one lacks.')
        # Left to itself OpenVINO computes in bfloat16 wherever it can.
        hints: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[compute],
        }
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = threads
        self.compiled = core.compile_model(core.read_model(file), "CPU", hints)
        self.lock = threading.Lock()  # a compiled model keeps the state of one call

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run once; gives the outputs in the graph's order."""
        with self.lock:
            outputs = self.compiled(dict(inputs), share_outputs=False)  # later calls leave them alone
            return [outputs[place] for place in self.compiled.outputs]


def load_graph(format: Format, file: Path, threads: int | None, compute: Compute) -> Graph:  # noqa: A002
    """Load a graph into the engine of its format.

    Raises:
        ImportError: the engine is not installed.
        ValueError: `compute` that the engine or the processor lacks.
    """
    if format == "openvino":
        return OpenVinoGraph(file, threads, compute)
    if compute != "float32":
        raise ValueError(f"compute={compute!r} is for OpenVINO; ONNX Runtime computes in float32.")
    return OnnxRuntimeGraph(file, threads)
