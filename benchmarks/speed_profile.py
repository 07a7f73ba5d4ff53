"""Where a device's time goes, by kind of kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from region_extraction import wait
from torch.profiler import ProfilerActivity, profile

# Parts of names of kernels on a GPU and of operators on a CPU; the first kind that fits counts.
KINDS = {
    "attention": ("flash", "fmha", "attention", "cudnn_generated_fort_native_sdpa"),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "cublas", "::mm", "addmm", "::bmm", "mkldnn_linear"),
    "optimiser": ("adam", "multi_tensor"),
    "layer normalisation": ("layer_norm", "layernorm", "gammabeta"),
    "softmax and cross-entropy": ("softmax", "nll", "cross_entropy"),
    "compiled, fused": ("triton",),
    "gathering and scattering": ("index", "gather", "scatter", "embedding", "cat", "sort", "cumsum", "scan"),
    "copies and fills": ("copy", "memcpy", "memset", "fill", "zero", "_to_"),
    "element by element": ("elementwise", "reduce", "dropout", "gelu", "aten::"),
}
OTHER = "other"


@dataclass(frozen=True)
class Profile:
    """Shares of the device's time by kind and by kernel, largest first, and its milliseconds in a call."""

    kinds: dict[str, float]
    kernels: dict[str, float]
    milliseconds: float


def kind_of(name: str) -> str:
    """The kind of a kernel or operator.

    Example:
        >>> kind_of("void at::native::vectorized_layer_norm_kernel<float>"), kind_of("aten::addmm")
        ('layer normalisation', 'matrix products')
    """
    name = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), OTHER)


def profile_calls(call: Callable[[], Any], device: torch.device, calls: int = 3) -> Profile:
    """Profile a call that has run before."""
    on_gpu = device.type == "cuda"
    wait(device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as record:
        for _ in range(calls):
            call()
        wait(device)
    times: dict[str, float] = {}
    for event in record.key_averages():
        time = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if time > 0:
            times[event.key] = times.get(event.key, 0.0) + time  # microseconds
    return summarise(times, calls)


def summarise(times: dict[str, float], calls: int) -> Profile:
    """Shares of microseconds by name.

    Raises:
        ValueError: no time at all.
    """
    whole = sum(times.values())
    if not whole:
        raise ValueError("times must hold at least one kernel that took time: the profiler saw nothing.")
    kinds: dict[str, float] = {}
    for name, time in times.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + time / whole

    def largest_first(shares: dict[str, float]) -> dict[str, float]:
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    return Profile(
        largest_first(kinds), largest_first({name: time / whole for name, time in times.items()}), whole / calls / 1000
    )


def table(profile: Profile, kernels: int = 15) -> str:
    """Kinds, then the largest kernels, as Markdown."""
    lines = [f"\nDevice time of a step: {profile.milliseconds:.1f} ms", "\n| kind of kernel | share |", "|---|---|"]
    lines += [f"| {kind} | {share:.1%} |" for kind, share in profile.kinds.items()]
    lines += ["\n| kernel | share |", "|---|---|"]
    lines += [f"| `{name[:90]}` | {share:.1%} |" for name, share in list(profile.kernels.items())[:kernels]]
    return "\n".join(lines)
