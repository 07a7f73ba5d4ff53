"""How time grows with batch, words and regions, and memory with the number of images.

    python benchmarks/growth.py                              # about ten minutes on two cores, and up to 26.6 GB of disk
    python benchmarks/growth.py --store-dim 64               # 0.8 GB: images and regions as many, features narrow
    python benchmarks/growth.py --tiny --store-images 100 1000 --output runs/tiny

Time: VQA inference, ours and transformers' LXMERT in turns, outputs compared as in speed.py. Memory: what a process
takes to read random batches of a region store. OUTPUT gets growth.csv and growth.png.
"""

import argparse
import csv
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import region_memory
import torch
from matplotlib.figure import Figure
from speed_contestants import (
    THEIRS,
    Setting,
    answer_with,
    both_models,
    in_bfloat16,
    inference,
    with_cached_regions,
    with_features_of,
)
from speed_inputs import LONGEST, REGIONS, Batch
from speed_machine import describe_machine
from speed_rounds import Row, Work, measure

AXES = {
    "batch": (1, 2, 4, 8, 16, 32, 64),
    "words": (6, 8, 10, 12, 16, 20, 32, 48),
    "regions": (10, 20, 36, 50, 75, 100),
}
TITLES = {
    "batch": "questions in a batch; as long as in VQA, 36 regions",
    "words": "wordpieces of each of 8 questions; 36 regions",
    "regions": "regions of each of 8 images; questions as long as in VQA",
}
FREE = 1.1  # times what a store takes must be free on the disk


@dataclass(frozen=True)
class Models:
    """Ours and transformers' with the same weights, and ours in bfloat16."""

    ours: Any
    half: Any
    theirs: Any


def points(setting: Setting, axes: Iterable[str]) -> Iterable[tuple[str, int, Work]]:
    """Axis, place on it, and what is timed there."""
    ours, theirs = both_models("LxmertForQuestionAnswering", setting)
    models = Models(ours, in_bfloat16(ours), theirs)
    for axis in axes:
        for place in AXES[axis]:
            questions = place if axis == "batch" else 8
            regions = place if axis == "regions" else REGIONS
            lengths = torch.full((questions,), place) if axis == "words" else None
            batch = setting.batch(questions, regions=regions, lengths=lengths)
            yield axis, place, point(models, f"{axis} {place}", questions, batch)


def point(models: Models, name: str, questions: int, batch: Batch) -> Work:
    """One batch for transformers' (padded to 20 words), ours, ours with regions encoded before, ours in bfloat16."""
    padded, own = batch.padded(max(LONGEST, batch.longest)), batch.padded(batch.longest)
    with torch.inference_mode():
        cached = with_cached_regions(models.ours, own)
    contestants = [
        inference(THEIRS, "float32", answer_with(models.theirs), [padded]),
        inference("ours", "float32", answer_with(models.ours), [own]),
        inference("ours, regions cached", "float32", answer_with(models.ours), [cached]),
        inference("ours", "bfloat16", answer_with(models.half), [with_features_of(models.half, own)]),
    ]
    return Work(name, name, questions, contestants)


@dataclass(frozen=True)
class Memory:
    """Of a store with so many images: bytes on disk, and MiB that a process took to read it."""

    images: int
    on_disk: float
    taken: float


def store_bytes(images: int, regions: int, dim: int) -> int:
    """What a store of features in float16 takes on disk, roughly: features, boxes and labels."""
    return images * regions * (2 * dim + 50)


def measure_memory(arguments: argparse.Namespace) -> list[Memory]:
    """One store after the other; each is removed before the next is written.

    Raises:
        OSError: the disk is too short for the largest store.
    """
    shape = (arguments.store_regions, arguments.store_dim)
    needed = store_bytes(max(arguments.store_images), *shape)
    with tempfile.TemporaryDirectory(dir=arguments.store_folder) as folder:
        free = shutil.disk_usage(folder).free
        if needed * FREE > free:
            raise OSError(
                f"The largest store takes {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free: choose "
                "another --store-folder, a smaller --store-dim or --store-regions, or fewer --store-images."
            )
        rows = []
        for images in arguments.store_images:
            choices = {"regions": shape[0], "width": shape[1], "batches": 200, "batch_size": 32, "format": "store"}
            figures = region_memory.measure(argparse.Namespace(**choices), images, Path(folder))
            shutil.rmtree(Path(folder) / f"regions_{images}")
            rows.append(Memory(images, figures["on_disk"] * 1e6, figures["after"] - figures["before"]))
    return rows


def table(times: list[tuple[str, int, Row]], memory: list[Memory], shape: tuple[int, int]) -> str:
    """All figures as Markdown."""
    lines = [
        "\n| axis | value | contestant | precision | ms a question | times as fast | largest difference of logits |",
        "|---|---|---|---|---|---|---|",
    ]
    for axis, place, row in times:
        equality = "reference" if row.equality is None else f"{row.equality.logits:.1e}"
        ratio = f"{row.ratio:.2f}" if row.counts else f"{row.ratio:.2f}, does not count"
        lines.append(
            f"| {axis} | {place} | {row.contestant} | {row.precision} | {row.milliseconds:.3g} | {ratio} | {equality} |"
        )
    if memory:
        lines += [f"\nStore of {shape[0]} regions x {shape[1]} numbers an image, in float16; 200 batches of 32 images"]
        lines += ["| images | on disk, GB | anonymous memory taken, MiB |", "|---|---|---|"]
        lines += [f"| {row.images:,} | {row.on_disk / 1e9:.2f} | {row.taken:.1f} |" for row in memory]
    return "\n".join(lines)


def write_csv(times: list[tuple[str, int, Row]], memory: list[Memory], path: Path) -> None:
    """One line for each point of each curve."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["axis", "value", "contestant", "precision", "figure", "median", "first_quartile", "third_quartile"]
        )
        for axis, place, row in times:
            spread = row.milliseconds_quartiles
            writer.writerow([axis, place, row.contestant, row.precision, "ms a question", row.milliseconds, *spread])
        for item in memory:
            writer.writerow(["images", item.images, "region store", "float16", "MiB taken", item.taken, "", ""])


def draw(times: list[tuple[str, int, Row]], memory: list[Memory], shape: tuple[int, int], path: Path) -> None:
    """One panel for each axis: medians as lines, quartiles as bands."""
    axes = list(dict.fromkeys(axis for axis, _, _ in times)) + (["images"] if memory else [])
    figure = Figure(figsize=(5 * len(axes), 4), layout="constrained")
    for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
        if axis == "images":
            panel.plot([row.images for row in memory], [row.taken for row in memory], marker="o")
            panel.set_xlabel(f"images in a store of {shape[0]} x {shape[1]}")
            panel.set_ylabel("anonymous memory taken, MiB")
            panel.set_ylim(0, 1.3 * max(1, *(row.taken for row in memory)))
            continue
        curves: dict[str, list[tuple[int, Row]]] = {}
        for _, place, row in (item for item in times if item[0] == axis):
            curves.setdefault(f"{row.contestant}, {row.precision}", []).append((place, row))
        for name, curve in curves.items():
            places = [place for place, _ in curve]
            panel.plot(places, [row.milliseconds for _, row in curve], marker=".", label=name)
            lower, upper = zip(*(row.milliseconds_quartiles for _, row in curve), strict=True)
            panel.fill_between(places, lower, upper, alpha=0.2)
        if axis == "batch":
            panel.set_xscale("log", base=2)
            panel.set_xticks(places, [str(place) for place in places])
        panel.set_xlabel(TITLES[axis], fontsize=9)
        panel.set_ylabel("ms a question")
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="*", choices=list(AXES), default=list(AXES), help="of time; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="for each point of a curve; default 5")
    parser.add_argument("--seconds", type=float, default=30, help="a point begins no round after these; default 30")
    parser.add_argument("--threads", type=int, help="of PyTorch; default: its own choice")
    parser.add_argument(
        "--store-images",
        type=int,
        nargs="*",
        default=[1_000, 10_000, 45_000, 180_000],
        help="of each store; none leaves memory out; default 1000 10000 45000 180000",
    )
    parser.add_argument("--store-regions", type=int, default=REGIONS, help="of each image; default 36")
    parser.add_argument("--store-dim", type=int, default=2048, help="width of the features; default 2048")
    parser.add_argument("--store-folder", type=Path, help="where stores are written; default: temporary files' place")
    parser.add_argument("--output", type=Path, default=Path("runs/growth"), help="folder; default runs/growth")
    parser.add_argument("--tiny", action="store_true", help="a model of a few layers, to try the program")
    return parser


def main() -> None:
    """Measure, print, write and draw."""
    parser = make_parser()
    arguments = parser.parse_args()
    if not arguments.axes and not arguments.store_images:
        parser.error("nothing to measure: give --axes or --store-images.")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device, shape = torch.device("cpu"), (arguments.store_regions, arguments.store_dim)
    memory = measure_memory(arguments) if arguments.store_images else []  # first: a short disk shows at once
    times = []
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(arguments.tiny, device, Path(folder))
        for axis, place, work in points(setting, arguments.axes) if arguments.axes else ():
            rows = measure(work, arguments.rounds, arguments.seconds, device, with_rates=False).rows
            times += [(axis, place, row) for row in rows]
    machine = describe_machine(device)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"\n{machine['cpu']}, {machine['threads']} threads; {machine['date']}; commit {machine['commit']}")
    print(f"{versions}\n`{machine['command']}`")
    print(table(times, memory, shape))
    if len(memory) > 1:
        growth = memory[-1].taken - statistics.median(row.taken for row in memory[:-1])
        print(f"The last store takes {growth:+.1f} MiB beside the median of those before.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_csv(times, memory, arguments.output / "growth.csv")
    draw(times, memory, shape, arguments.output / "growth.png")
    print(f"\nWritten: {arguments.output}/growth.csv, growth.png")
    if any(not row.counts for _, _, row in times):
        sys.exit("Some outputs differ from the reference by more than the tolerance: their times do not count.")


if __name__ == "__main__":
    main()
