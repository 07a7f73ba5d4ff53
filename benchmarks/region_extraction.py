"""How fast the Faster R-CNN finds regions, and what share of the time goes into anything but convolutions.

    python benchmarks/region_extraction.py                                  # this machine, 600 x 800
    python benchmarks/region_extraction.py --device cuda --batch-size 8     # a GPU

Weights are random unless --checkpoint names some: the work is the same. Precisions take turns, so that a busy machine
slows all of them; the machine's own rate of matrix products is measured in the same turns. Utilisation is operations
of convolutions and matrix products in a second, over that rate.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from lxmert import FasterRcnnConfig, FasterRcnnForRegionFeatures
from lxmert.detection.resnet import NormalisedConv2d
from lxmert.detection.roi_pool import pooled_parts
from lxmert.detection.suppression import suppress, suppress_in_every_class

# Parts of the names of convolutions and matrix products: PyTorch's on a CPU, kernels on a GPU.
PRODUCTS = ("convolution", "convolve", "addmm", "::mm", "bmm", "gemm", "fprop", "xmma", "cutlass")


def make_model(checkpoint: str | None, device: torch.device) -> FasterRcnnForRegionFeatures:
    """A checkpoint's model, or one with random weights whose proposals are as many as a trained one's."""
    torch.manual_seed(0)
    if checkpoint:
        model = FasterRcnnForRegionFeatures.from_pretrained(checkpoint)
    else:
        model = FasterRcnnForRegionFeatures(FasterRcnnConfig())
        with torch.no_grad():  # the anchors themselves are the proposals
            model.proposal_generator.rpn_head.anchor_deltas.weight.zero_()
    return model.to(device).eval()


def pictures(batch: int, height: int, width: int, device: torch.device) -> torch.Tensor:
    """(B, 3, H, W), noise of the size of pixel values."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, 3, height, width, generator=generator) * 255 - 115).to(device)


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(work, device: torch.device) -> float:
    """One call of `work`."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def matrix_rate(dtype: torch.dtype, device: torch.device, side: int) -> float:
    """Operations a second of one large matrix product, as such or as a 1x1 convolution, whichever is faster."""
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    picture = left.view(1, side // 32, 32, side).permute(0, 3, 1, 2)  # channels last
    kernel = right.view(side, side, 1, 1)
    repeats = 20 if device.type == "cuda" else 5
    seconds = []
    for product in (lambda: left @ right, lambda: F.conv2d(picture, kernel)):
        seconds_of(product, device)  # the kernel is chosen
        seconds.append(seconds_of(lambda product=product: [product() for _ in range(repeats)], device))
    return 2 * side**3 * repeats / min(seconds)


@contextmanager
def channels_first() -> Iterator[None]:
    """Inside, the detector's convolutions have weights with channels first, as PyTorch has them by default."""
    fold = NormalisedConv2d.fold

    def contiguous(self: NormalisedConv2d, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias = fold(self, dtype)
        return weight.contiguous(), bias

    NormalisedConv2d.fold = contiguous  # type: ignore[method-assign]
    try:
        yield
    finally:
        NormalisedConv2d.fold = fold  # type: ignore[method-assign]


def share_outside(work, device: torch.device) -> float:
    """Share of the operators' time that is not spent in convolutions and matrix products."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as record:
        work()
        wait(device)
    times: dict[str, float] = {}
    for event in record.key_averages():
        times[event.key] = event.self_device_time_total if on_gpu else event.self_cpu_time_total
    inside = sum(value for name, value in times.items() if any(part in name for part in PRODUCTS))
    return 1 - inside / sum(times.values())


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> list[dict]:
    """One row for each precision."""
    device = torch.device(arguments.device)
    height, width = arguments.size
    pixel_values = pictures(arguments.batch_size, height, width, device)
    sizes = [(height, width)] * arguments.batch_size
    calls = {}
    for name in arguments.dtypes:
        own = make_model(arguments.checkpoint, device).to(getattr(torch, name))
        calls[name] = (own, lambda own=own: own(pixel_values, sizes))
    rows = {}
    for name, (own, call) in calls.items():
        call()  # kernels are chosen and memory is taken
        with FlopCounterMode(display=False) as counter:
            call()
        feature_map = own.backbone(pixel_values.to(own.dtype, memory_format=torch.channels_last))
        proposals = [len(boxes) for boxes, _ in own.proposal_generator(feature_map, sizes)]
        rows[name] = {"dtype": name, "operations": counter.get_total_flops(), "proposals": proposals[0]}
        rows[name] |= {"seconds": [], "rates": [], "channels_first": [], "channels_last": []}
    for _ in tqdm(range(arguments.repeats), desc="Rounds"):
        for name, (own, call) in calls.items():
            row = rows[name]
            row["seconds"].append(seconds_of(call, device))
            row["rates"].append(matrix_rate(own.dtype, device, 8192 if device.type == "cuda" else 2048))
            first = pixel_values.to(own.dtype)
            last = first.to(memory_format=torch.channels_last)
            with channels_first():
                row["channels_first"].append(seconds_of(lambda own=own, first=first: own.backbone(first), device))
            row["channels_last"].append(seconds_of(lambda own=own, last=last: own.backbone(last), device))
    for name, (_, call) in calls.items():
        row = rows[name]
        times, rates = row.pop("seconds"), row.pop("rates")
        row["images_per_second"] = arguments.batch_size / statistics.median(times)
        row["spread"] = [arguments.batch_size / max(times), arguments.batch_size / min(times)]
        # of each round by itself: other programs slow both
        row["utilisation"] = statistics.median(
            row["operations"] / seconds / rate for seconds, rate in zip(times, rates, strict=True)
        )
        layouts = [statistics.median(row.pop(key)) for key in ("channels_first", "channels_last")]
        row["channels_last_gain"] = layouts[0] / layouts[1]
        row["outside"] = statistics.median(share_outside(call, device) for _ in range(3))
    return list(rows.values())


@torch.inference_mode()
def operators(device: torch.device, repeats: int) -> dict[str, float]:
    """Median seconds of what PyTorch has no operator for, at the detector's sizes."""
    generator = torch.Generator().manual_seed(0)

    def boxes(count: int) -> torch.Tensor:
        corners = torch.rand(count, 2, generator=generator) * torch.tensor([600.0, 450.0])
        return torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * 200], dim=1).to(device)

    candidates, proposals = boxes(6000), boxes(300)
    scores = torch.rand(6000, generator=generator).to(device)
    probabilities = torch.randn(300, 1600, generator=generator).mul(3).softmax(dim=1).to(device)
    feature_map = torch.randn(1, 1024, 38, 50, generator=generator).to(device, memory_format=torch.channels_last)
    images = torch.zeros(300, dtype=torch.long, device=device)
    calls = {
        "RoI pooling of 300 boxes": lambda: [
            None for _ in pooled_parts(feature_map, proposals, images, 14, 1 / 16, 32)
        ],
        "NMS of 6,000 candidates": lambda: suppress(candidates, scores, 0.7, 300),
        "NMS of 300 boxes in 1,600 classes at once": lambda: suppress_in_every_class(proposals, probabilities, 0.3),
        "the same class by class": lambda: [suppress(proposals, row, 0.3) for row in probabilities.T],
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):  # the first round is not counted
        for name, call in calls.items():
            times[name].append(seconds_of(call, device))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def table(rows: list[dict], arguments: argparse.Namespace) -> str:
    """The rows as Markdown."""
    lines = [
        "| precision | images/s (slowest to fastest) | outside convolutions and products | utilisation "
        "| backbone: channels last over first | operations an image | proposals |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['dtype']} | {row['images_per_second']:.3g} ({row['spread'][0]:.3g} to {row['spread'][1]:.3g}) "
        f"| {row['outside']:.1%} | {row['utilisation']:.0%} | {row['channels_last_gain']:.2f} x "
        f"| {row['operations'] / arguments.batch_size / 1e12:.2f} T | {row['proposals']} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu", help="default: a GPU if there is one")
    parser.add_argument("--batch-size", type=int, default=8 if on_gpu else 1, help="default: 8 on a GPU, else 1")
    parser.add_argument("--size", type=int, nargs=2, default=(600, 800), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], help="default: float32 bfloat16")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which the median counts; default 5")
    parser.add_argument("--threads", type=int, help="of PyTorch on a CPU; default: PyTorch's own choice")
    parser.add_argument("--checkpoint", help="folder or name on the Hub; default: random weights")
    parser.add_argument("--tf32", action="store_true", help="let a GPU round the factors of float32 products")
    parser.add_argument(
        "--operators", action=argparse.BooleanOptionalAction, default=True, help="time them by themselves"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.tf32:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rows = measure(arguments)
    name = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    height, width = arguments.size
    print(f"\n{name}, torch {torch.__version__}, {height} x {width}, batch of {arguments.batch_size}\n")
    print(table(rows, arguments))
    own = operators(torch.device(arguments.device), arguments.repeats) if arguments.operators else {}
    if own:
        print("\n| operator | milliseconds |\n|---|---|")
        print("\n".join(f"| {name} | {1000 * value:.1f} |" for name, value in own.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"precisions": rows, "operators": own}, indent=2) + "\n")


if __name__ == "__main__":
    main()
