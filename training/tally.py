"""What a run reports of its steps: losses as means over steps, accuracies as right by judged."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator


@dataclass(frozen=True)
class ForwardFigures:
    """Losses (0-dim) and counts of right and judged (2,) of one forward, by name, on the device."""

    losses: dict[str, torch.Tensor]
    correct: dict[str, torch.Tensor]

    @classmethod
    def of(cls, output: Any) -> "ForwardFigures":
        """Read them off a model's output, of which only `loss` is required."""
        losses = {"loss": output.loss, **(getattr(output, "losses", None) or {})}
        correct = getattr(output, "correct", None) or {}
        return cls(*({name: value.detach().float() for name, value in part.items()} for part in (losses, correct)))

    def are_finite(self) -> bool:
        """Whether all losses are; waits for the device."""
        return all(math.isfinite(loss) for loss in self.losses.values())


@dataclass(frozen=True)
class StepFigures:
    """The figures of one step over its forwards and all processes; the same in each process.

    Args:
        losses: means over forwards and processes.
        correct: sums of right and judged.
        gradient_norm: before clipping.
    """

    losses: dict[str, float]
    correct: dict[str, tuple[float, float]]
    gradient_norm: float

    @classmethod
    def read(
        cls, forwards: list[ForwardFigures], gradient_norm: torch.Tensor | None, accelerator: Accelerator
    ) -> "StepFigures":
        """Sum in all processes and wait for the device; one reduction and one reading for all figures."""
        losses = list(dict.fromkeys(name for forward in forwards for name in forward.losses))
        correct = list(dict.fromkeys(name for forward in forwards for name in forward.correct))
        sums = [_sum(forward.losses.get(name) for forward in forwards).reshape(1) for name in losses]
        sums += [_sum(forward.correct.get(name) for forward in forwards) for name in correct]
        total = accelerator.reduce(torch.cat(sums), reduction="sum")
        if gradient_norm is None:
            gradient_norm = total.new_zeros(())
        elif hasattr(gradient_norm, "full_tensor"):  # of sharded parameters
            gradient_norm = gradient_norm.full_tensor()
        *values, norm = torch.cat([total, gradient_norm.detach().to(total).reshape(1)]).tolist()
        share = len(forwards) * accelerator.num_processes
        pairs = values[len(losses) :]
        return cls(
            {name: value / share for name, value in zip(losses, values, strict=False)},
            dict(zip(correct, zip(pairs[::2], pairs[1::2], strict=True), strict=True)),
            norm,
        )

    def not_finite(self) -> dict[str, float]:
        """The losses that are not finite, by name."""
        return {name: value for name, value in self.losses.items() if not math.isfinite(value)}


@dataclass
class Tally:
    """Sums of step figures since the last evaluation, as plain numbers that a saved state can hold."""

    losses: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    right: dict[str, float] = field(default_factory=dict)
    judged: dict[str, float] = field(default_factory=dict)

    def add(self, figures: StepFigures) -> None:
        """Add a step."""
        for name, value in figures.losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
            self.steps[name] = self.steps.get(name, 0) + 1
        for name, (right, judged) in figures.correct.items():
            self.right[name] = self.right.get(name, 0.0) + right
            self.judged[name] = self.judged.get(name, 0.0) + judged

    def means(self) -> dict[str, float]:
        """Means of the losses, and `<name>_accuracy` of what was judged."""
        means = {name: value / self.steps[name] for name, value in self.losses.items()}
        judged = {name: count for name, count in self.judged.items() if count}
        return means | {f"{name}_accuracy": self.right[name] / count for name, count in judged.items()}


class Pace:
    """Examples per second since its making."""

    def __init__(self) -> None:
        self._examples, self._started = 0, time.perf_counter()

    def add(self, examples: int) -> None:
        """Count so many more."""
        self._examples += examples

    def rate(self) -> float:
        """Examples per second until now."""
        return self._examples / (time.perf_counter() - self._started)


def _sum(values: Any) -> torch.Tensor:
    return torch.stack([value for value in values if value is not None]).sum(0)
