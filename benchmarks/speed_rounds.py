"""Rounds in which contestants take turns at the same work, and the figures that come of them.

Other programs slow whoever runs beside them. So each contestant runs once in every round, the order moves on from round
to round, and ratios are taken within a round before the median of all rounds is.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from region_extraction import seconds_of
from speed_machine import counted_operations, product_rates
from tqdm.auto import tqdm

Precision = Literal["float32", "bfloat16"]
Timer = Callable[[Callable[[], Any], torch.device], float]
LEAST_ROUNDS = 2


@dataclass(frozen=True)
class Outputs:
    """What contestants with the same weights must agree on.

    Args:
        logits: (..., classes), of which the largest is the answer.
        loss: in training.
        gradients: of all parameters by name, in training.
    """

    logits: torch.Tensor
    loss: float | None = None
    gradients: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """One way to do a work.

    Args:
        name: the program, and what is special about it.
        precision: of its matrix products.
        call: does the whole work once; this is timed.
        outputs: what comes out of it without dropout, to be compared with the reference; None for another model.
        goal: how many times faster than the reference it is meant to be.
        operations_of: the contestant whose operations it shares, where PyTorch cannot count its own.
    """

    name: str
    precision: Precision
    call: Callable[[], Any]
    outputs: Callable[[], Outputs] | None = None
    goal: float | None = None
    operations_of: str | None = None

    @property
    def key(self) -> str:
        """Name and precision, which no other contestant of the work has."""
        return f"{self.name}, {self.precision}"


@dataclass(frozen=True)
class Work:
    """What is to be done, and by whom; the first contestant is the reference.

    Args:
        name: short, as the command knows it.
        title: what it is, for tables.
        pairs: of a question and an image that one call treats.
        contestants: no two with the same name and precision.
        warm_up: call each once before the rounds; False where the comparison of outputs has done the same.
    """

    name: str
    title: str
    pairs: int
    contestants: list[Contestant]
    warm_up: bool = True


@dataclass(frozen=True)
class Tolerance:
    """How far outputs may be from the reference's: logits absolutely, loss and whole gradient in its proportion."""

    logits: float
    loss: float
    gradients: float


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(logits=1e-5, loss=1e-5, gradients=1e-4),
    "bfloat16": Tolerance(logits=0.1, loss=0.002, gradients=0.05),
}


@dataclass(frozen=True)
class Equality:
    """How far outputs are from the reference's.

    Args:
        logits: largest difference.
        same_answers: share of items with the same largest logit.
        loss: difference over the reference's loss.
        gradients: length of the difference over the length of the reference's gradient, all parameters together.
        within: whether all of these keep to the tolerance of the precision.
    """

    logits: float
    same_answers: float
    loss: float | None
    gradients: float | None
    within: bool


def compare(outputs: Outputs, reference: Outputs, precision: Precision) -> Equality:
    """Compare outputs with the reference's; a parameter without gradient on one side counts as zeros there.

    Raises:
        ValueError: logits of different shapes.
    """
    if outputs.logits.shape != reference.logits.shape:
        shapes = f"{tuple(outputs.logits.shape)} and {tuple(reference.logits.shape)}"
        raise ValueError(f"outputs must have logits of the reference's shape, got {shapes}.")
    tolerance = TOLERANCES[precision]
    logits = (outputs.logits.float() - reference.logits.float()).abs().max().item()
    same = (outputs.logits.argmax(-1) == reference.logits.argmax(-1)).float().mean().item()
    loss = gradients = None
    within = logits <= tolerance.logits
    if outputs.loss is not None and reference.loss is not None:
        loss = abs(outputs.loss - reference.loss) / abs(reference.loss)
        within &= loss <= tolerance.loss
    if reference.gradients:
        gradients = _distance(outputs.gradients, reference.gradients)
        within &= gradients <= tolerance.gradients
    return Equality(logits, same, loss, gradients, within)


def _distance(gradients: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> float:
    """Length of the difference over the length of the reference."""
    difference = length = 0.0
    for name in reference.keys() | gradients.keys():
        theirs, ours = reference.get(name), gradients.get(name)
        length += 0.0 if theirs is None else theirs.float().square().sum().item()
        if theirs is not None and ours is not None:
            difference += (ours.float() - theirs.float()).square().sum().item()
        else:
            alone = theirs if theirs is not None else ours
            assert alone is not None
            difference += alone.float().square().sum().item()
    return float((difference / length) ** 0.5)


@dataclass(frozen=True)
class Row:
    """A contestant's figures; of each pair of numbers one quarter of the rounds lies below, one quarter above.

    Args:
        work: name of the work.
        contestant: its name.
        precision: of its matrix products.
        rounds: in which it ran.
        milliseconds: per pair, median.
        milliseconds_quartiles: of the same.
        ratio: how many times faster than the reference, median over the rounds.
        ratio_quartiles: of the same.
        goal: of the ratio.
        operations: multiplications and additions of matrix products, per pair.
        utilisation: operations in a second over those of a plain matrix product in the same round.
        equality: with the reference; None for the reference itself and for other models.
        same_model: whether it computes what the reference computes.
    """

    work: str
    contestant: str
    precision: Precision
    rounds: int
    milliseconds: float
    milliseconds_quartiles: tuple[float, float]
    ratio: float
    ratio_quartiles: tuple[float, float]
    goal: float | None
    operations: float | None
    utilisation: float | None
    equality: Equality | None
    same_model: bool

    @property
    def counts(self) -> bool:
        """Whether the ratio is one of equal results."""
        return self.same_model and (self.equality is None or self.equality.within)


@dataclass(frozen=True)
class Measurement:
    """A work's rows, and the median rates of plain matrix products (operations a second) by precision and shape."""

    rows: list[Row]
    rates: dict[Precision, dict[str, float]]


def measure(
    work: Work,
    rounds: int,
    seconds: float,
    device: torch.device,
    with_rates: bool = True,
    timer: Timer = seconds_of,
    progress: bool = True,
) -> Measurement:
    """Compare outputs, then let the contestants take turns.

    Args:
        work: what they do.
        rounds: at most; at least `LEAST_ROUNDS`.
        seconds: after which no new round begins.
        device: that is waited for.
        with_rates: measure plain matrix products in each round, which takes seconds on a CPU.
        timer: gives the seconds of a call on the device.
        progress: show a bar with the time left.

    Raises:
        ValueError: two contestants of the same name and precision, or logits of other shapes than the reference's.
    """
    contestants = work.contestants
    keys = [contestant.key for contestant in contestants]
    if len(set(keys)) < len(keys):
        raise ValueError(f"contestants of {work.name!r} must differ in name or precision, got {keys}.")
    turns = len(contestants) * (1 + work.warm_up + max(rounds, LEAST_ROUNDS))
    with tqdm(total=turns, desc=work.name, unit=" turns", disable=not progress) as bar:
        operations, equalities = _compare_all(contestants, bar)
        if work.warm_up:
            for contestant in contestants:
                bar.set_postfix_str(f"warm-up of {contestant.key}")
                contestant.call()
                bar.update()
        times, rates = [], []
        start = time.perf_counter()
        for number in range(max(rounds, LEAST_ROUNDS)):
            if number >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
                break
            times.append(_take_turns(contestants, number, device, timer, bar))
            precisions = {contestant.precision for contestant in contestants} if with_rates else ()
            rates.append({name: product_rates(getattr(torch, name), device) for name in precisions})
    rows = [_row(work, contestant, times, rates, operations, equalities) for contestant in contestants]
    medians = {
        precision: {shape: statistics.median(rate[precision][shape] for rate in rates) for shape in shapes}
        for precision, shapes in sorted(rates[0].items(), reverse=True)
    }
    return Measurement(rows, medians)


def _compare_all(contestants: list[Contestant], bar: tqdm) -> tuple[dict[str, float | None], dict[str, Equality]]:
    """Operations of each contestant, and equality of those that are not the reference."""
    reference: Outputs | None = None
    operations: dict[str, float | None] = {}
    equalities: dict[str, Equality] = {}
    for contestant in contestants:
        bar.set_postfix_str(f"outputs of {contestant.key}")
        call = contestant.outputs or contestant.call
        if contestant.operations_of is not None:
            outputs, count = call(), operations[contestant.operations_of]
        else:
            outputs, count = counted_operations(call)
        operations[contestant.key] = count or None
        if contestant.outputs is not None and reference is None:
            reference = outputs
        elif contestant.outputs is not None and reference is not None:
            equalities[contestant.key] = compare(outputs, reference, contestant.precision)
        bar.update()
    return operations, equalities


def _take_turns(
    contestants: list[Contestant], number: int, device: torch.device, timer: Timer, bar: tqdm
) -> dict[str, float]:
    """Seconds of each contestant in one round; who begins moves on from round to round."""
    times = {}
    first = number % len(contestants)
    for contestant in contestants[first:] + contestants[:first]:
        bar.set_postfix_str(f"round {number + 1}, {contestant.key}")
        times[contestant.key] = timer(contestant.call, device)
        bar.update()
    return times


def _row(
    work: Work,
    contestant: Contestant,
    times: list[dict[str, float]],
    rates: list[dict[Precision, dict[str, float]]],
    counted: dict[str, float | None],
    equalities: dict[str, Equality],
) -> Row:
    own = [seconds[contestant.key] for seconds in times]
    ratios = [seconds[work.contestants[0].key] / seconds[contestant.key] for seconds in times]
    milliseconds = [1000 * value / work.pairs for value in own]
    operations, utilisation = counted[contestant.key], None
    if operations is not None and rates[0]:
        utilisation = statistics.median(
            operations / seconds / max(rate[contestant.precision].values())
            for seconds, rate in zip(own, rates, strict=True)
        )
    return Row(
        work=work.name,
        contestant=contestant.name,
        precision=contestant.precision,
        rounds=len(own),
        milliseconds=statistics.median(milliseconds),
        milliseconds_quartiles=quartiles(milliseconds),
        ratio=statistics.median(ratios),
        ratio_quartiles=quartiles(ratios),
        goal=contestant.goal,
        operations=None if operations is None else operations / work.pairs,
        utilisation=utilisation,
        equality=equalities.get(contestant.key),
        same_model=contestant.outputs is not None,
    )


def quartiles(values: list[float]) -> tuple[float, float]:
    """First and third quartile, between neighbours where they fall between two values.

    Example:
        >>> quartiles([4.0, 1.0, 2.0, 3.0, 5.0])
        (2.0, 4.0)
    """
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper
