"""How fast pre-training is on one GPU that holds all regions: ours in several ways beside transformers' LXMERT.

    python benchmarks/speed_gpu.py                                      # batches of 64 to 1024
    python benchmarks/speed_gpu.py --batches 512 --ways autocast-layers --minutes 5
    python benchmarks/speed_gpu.py --tiny --device cpu --batches 8      # does the program run?

A step is forward, backward and optimiser on all five tasks. Ways: bfloat16 by autocast over float32 weights
("autocast") or in the weights themselves ("weights", AdamW's averages too, which rounds away small steps); "-layers"
compiles every layer, "-model" the whole model, "-graphs" the same with CUDA graphs, which takes a compilation for each
number of words (give it one of --batches); "autocast" always takes part. Ratios are to transformers' LXMERT in
float32, eager attention, torch's default AdamW, 20 words, at the same batch; where it runs out of memory it takes the
batch in parts. Everybody takes turns in every round; outputs, loss and gradients are compared before, at the smallest
batch.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from speed_gpu_steps import WAYS, Step, Way, Ways, draw_step, in_parts, precision_of
from speed_machine import describe_machine
from speed_profile import Profile, profile_calls
from speed_profile import table as profile_table
from speed_report import tolerances
from speed_rounds import Contestant, Equality, Precision, Row, Work, compare, measure

from lxmert.training.compiling import GRAPHS

GOALS = {"pairs a second": 12_000, "of the matrix rate": 0.45, "times transformers'": 4.0}
THEIRS, THEIRS_AUTOCAST = "transformers, float32", "transformers, autocast"
DRAWN = 4  # different steps, taken in turn


def event_seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call by the device's own clock; on a CPU, by the process's."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start_event.record()
    call()
    end_event.record()
    torch.cuda.synchronize(device)
    return start_event.elapsed_time(end_event) / 1000


def fits(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether a call ends without running out of the device's memory."""
    try:
        call()
    except torch.OutOfMemoryError:
        fitting = False
    else:
        fitting = True
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return fitting


class Sweep:
    """One run.

    Args:
        arguments: of the command.
        device: of everything.
    """

    def __init__(self, arguments: argparse.Namespace, device: torch.device):
        self.arguments, self.device = arguments, device
        self.ways = Ways(arguments.tiny, arguments.images, device, arguments.backend)
        self.taken: dict[str, Way] = {THEIRS: self.ways.reference("no"), THEIRS_AUTOCAST: self.ways.reference("bf16")}
        self.taken |= {name: self.ways.way(name) for name in dict.fromkeys(["autocast", *arguments.ways])}
        self.rows: list[tuple[int, int, Row]] = []  # with batch and sentences
        self.rates: dict[Precision, dict[str, float]] = {}

    def draw(self, batch: int, sentences: int, seed: int = 0) -> Step:
        """A step of the run's kind."""
        bucket = max(batch // 4, 1)
        return draw_step(self.ways.config, self.ways.table, batch, sentences, bucket, self.arguments.tiny, seed)

    def check(self) -> dict[str, Equality]:
        """Compare every way with transformers' in float32; compiled ones are compiled for it."""
        sentences = max(self.arguments.sentences)
        step = self.draw(max(min(self.arguments.batches), sentences), sentences)
        reference = self.taken[THEIRS].outputs(step)
        return {
            name: compare(way.outputs(step), reference, precision_of(way))
            for name, way in self.taken.items()
            if name != THEIRS
        }

    def run(self) -> None:
        """All batches, until the minutes are over."""
        start = time.perf_counter()
        equalities = self.check()
        for sentences in self.arguments.sentences:
            for batch in self.arguments.batches:
                if time.perf_counter() - start > 60 * self.arguments.minutes:
                    print(f"The minutes are over: batch {batch} with {sentences} sentences an image is left out.")
                    continue
                self.measure(batch, sentences, equalities)

    def measure(self, batch: int, sentences: int, equalities: dict[str, Equality]) -> None:
        """Everybody at one batch."""
        steps = [self.draw(batch, sentences, seed) for seed in range(DRAWN)]
        contestants: list[Contestant] = []
        for name, way in self.taken.items():
            call = self.fitting(name, way, steps)
            if call is None:
                print(f"{name} runs out of memory at batch {batch}.")
                continue
            # compiled or not, ours has the operations of the first of ours, which is not compiled
            counted = next((other.key for other in contestants if other.name == "autocast"), None)
            contestants.append(Contestant(name, precision_of(way), call, operations_of=counted))
        if not contestants or contestants[0].name != THEIRS:
            return
        name = f"batch {batch}, {sentences} an image"
        work = Work(name, name, batch * self.arguments.steps, contestants, warm_up=False)
        measurement = measure(work, self.arguments.rounds, 1e9, self.device, timer=event_seconds)
        self.rates = self.rates or measurement.rates
        for row in measurement.rows:
            row = replace(row, equality=equalities.get(row.contestant), same_model=True)
            self.rows.append((batch, sentences, row))

    def fitting(self, name: str, way: Way, steps: list[Step]) -> Callable[[], None] | None:
        """A call that the device has the memory for; transformers' takes its batch in parts where it must."""
        parts, most = 1, len(steps[0].image_indices) if name.startswith("transformers") else 1
        while parts <= most:
            call = self.caller(way, steps, parts)
            if fits(call, self.device):
                return call
            way.optimizer.zero_grad(set_to_none=True)  # of a step that was broken off
            parts *= 2
        return None

    def caller(self, way: Way, steps: list[Step], parts: int) -> Callable[[], None]:
        """Takes the run's number of steps, each whole or in parts."""
        drawn = [in_parts(step, parts) if parts > 1 else [step] for step in steps]

        def call() -> None:
            for number in range(self.arguments.steps):
                way.take(drawn[number % len(drawn)])

        return call

    def best(self) -> tuple[int, int, Row]:
        """Ours with the most pairs a second, of those whose results count."""
        ours = [item for item in self.rows if not item[2].contestant.startswith("transformers") and item[2].counts]
        if not ours:
            raise ValueError("ways must hold one that gives the reference's results: none did.")
        return min(ours, key=lambda item: item[2].milliseconds)

    def profile(self) -> Profile:
        """The best one's kernels."""
        batch, sentences, row = self.best()
        steps = [self.draw(batch, sentences)]
        way = self.taken[row.contestant]
        return profile_calls(lambda: way.take(steps), self.device)


def table(rows: list[tuple[int, int, Row]]) -> str:
    """All rows as Markdown."""
    lines = [
        "\n| batch | sentences an image | way | pairs/s | ms a step (quartiles) | times transformers' "
        "| of the matrix rate | difference: logits | loss | gradient |",
        "|---" * 10 + "|",
    ]
    for batch, sentences, row in rows:
        spread = [value * batch for value in row.milliseconds_quartiles]
        ratio = f"{row.ratio:.2f}" + ("" if row.counts else ", does not count")
        share = "" if row.utilisation is None else f"{row.utilisation:.0%}"
        equality = row.equality
        same = ["reference", "", ""]
        if equality is not None:
            same = [f"{equality.logits:.1e}", f"{equality.loss:.1e}", f"{equality.gradients:.1e}"]
        lines.append(
            f"| {batch} | {sentences} | {row.contestant} | {1000 / row.milliseconds:,.0f} "
            f"| {row.milliseconds * batch:.3g} ({spread[0]:.3g} to {spread[1]:.3g}) | {ratio} | {share} | "
            + " | ".join(same)
            + " |"
        )
    return "\n".join(lines)


def verdict(best: tuple[int, int, Row]) -> str:
    """The best one's figures beside the goals."""
    batch, sentences, row = best
    found = [1000 / row.milliseconds, row.utilisation or 0.0, row.ratio]
    lines = [f"\nBest: {row.contestant}, batch {batch}, {sentences} sentences an image"]
    for (name, goal), value in zip(GOALS.items(), found, strict=True):
        lines.append(f"- {value:,.2f} {name}; goal {goal:,}: {'reached' if value >= goal else 'not reached'}")
    return "\n".join(lines)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="default cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512, 1024], help="sentences in a step")
    parser.add_argument("--sentences", type=int, nargs="+", default=[1, 4], help="about each image; default 1 4")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["autocast-layers", "weights-layers"])
    parser.add_argument("--steps", type=int, default=10, help="of a way in a round; default 10")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--minutes", type=float, default=8, help="no further batch begins after these; default 8")
    parser.add_argument("--images", type=int, default=4096, help="whose regions lie on the device; default 4096")
    parser.add_argument("--backend", default="inductor", help="of torch.compile; default inductor")
    parser.add_argument("--output", type=Path, default=Path("runs/speed_gpu"), help="gets speed_gpu.json")
    parser.add_argument("--tiny", action="store_true", help="a model of a few layers, to try the program")
    return parser


def main() -> None:
    """Measure, print the table, the verdict and the profile."""
    arguments = make_parser().parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU here: --device cpu --tiny --batches 8 tries the program without one.")
    torch._dynamo.config.recompile_limit = GRAPHS  # each number of words gets a CUDA graph of its own
    sweep = Sweep(arguments, device)
    sweep.run()
    machine = describe_machine(device)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"\n{machine['gpu'] or machine['cpu']}; {machine['date']}; commit {machine['commit']}\n{versions}")
    print(f"`{machine['command']}`")
    for precision, rates in sweep.rates.items():
        shapes = ", ".join(f"{rate / 1e12:,.1f} T/s ({shape})" for shape, rate in rates.items())
        print(f"Plain matrix products in {precision}: {shapes}")
    print(table(sweep.rows))
    print(f"\nWithin tolerance: {tolerances()}.")
    best, profile = sweep.best(), sweep.profile()
    print(verdict(best))
    print(profile_table(profile))
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = [{"batch": batch, "sentences": sentences, **asdict(row)} for batch, sentences, row in sweep.rows]
    content = {"machine": machine, "rates": sweep.rates, "rows": rows, "profile": asdict(profile)}
    (arguments.output / "speed_gpu.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
