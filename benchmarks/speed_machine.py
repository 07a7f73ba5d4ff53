"""What a machine can do, counted and measured: operations of a call, rate of plain matrix products, names, versions."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from region_extraction import seconds_of
from torch import nn
from torch.utils import mkldnn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

PACKAGES = ("lxmert", "torch", "transformers", "accelerate", "numpy", "onnx", "onnxruntime", "openvino")
# Rows, inner width and columns: the wide product of a feed-forward layer on 32 pairs, and a large square one.
SHAPES = {"cpu": [(1792, 768, 3072), (2048, 2048, 2048)], "cuda": [(65536, 768, 3072), (8192, 8192, 8192)]}


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


# PyTorch's counter does not know its own attention kernel for CPUs.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def counted_operations(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and the multiplications and additions of its matrix products, backward included."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        result = call()
    return result, counter.get_total_flops()


def product_rates(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Operations a second of plain matrix products, by shape.

    In float32 on a CPU, PyTorch's linear layers call MKL, which is slow on some processors; there oneDNN, which PyTorch
    has too, is measured beside it.
    """
    repeats = 20 if device.type == "cuda" else 2
    rates = {}
    for rows, inner, columns in SHAPES[device.type]:
        left = torch.randn(rows, inner, dtype=dtype, device=device)
        layer = nn.Linear(inner, columns, bias=False, dtype=dtype, device=device).requires_grad_(False)
        products = {"": lambda left=left, layer=layer: layer(left)}
        if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
            left, layer = left.to_mkldnn(), mkldnn.to_mkldnn(layer)
            products[" by oneDNN"] = lambda left=left, layer=layer: layer(left)
        for name, product in products.items():
            product()  # the kernel is chosen
            seconds = seconds_of(lambda product=product: [product() for _ in range(repeats)], device)
            rates[f"{rows} x {inner} x {columns}{name}"] = 2 * rows * inner * columns * repeats / seconds
    return rates


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Names of the processors, versions, date and command: what a figure must be read with."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    versions["torch"] = torch.__version__  # which says cpu or cuda
    return {
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "versions": versions,
        "commit": _commit(),
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": shlex.join(["python", *sys.argv]),
    }


def _cpu_name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The checkout's commit, with a plus where files differ from it; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
