"""The order of training examples: a pure function of seed and epoch, the same from wherever a run starts."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from lxmert.training.task import Batch, DrawnExamples

Key = tuple[int, int]  # epoch, index of the example


def stable_seed(*parts: int | str) -> int:
    """A seed in [0, 2^63) that depends on the parts alone, not on the process or the version of Python."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the micro-batches of a step; the last one of an epoch may be shorter."""
    group = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class EpochExamples:
    """Training examples by (epoch, index): drawn anew in every epoch where the sequence has a `draw`.

    The epoch travels with the index, so processes that load batches need not be told of it.
    """

    def __init__(self, examples: Sequence[Any] | DrawnExamples):
        self.examples = examples
        self._draw = examples.draw if isinstance(examples, DrawnExamples) else None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: Key) -> Any:
        epoch, index = key
        return self.examples[index] if self._draw is None else self._draw(epoch, index)  # type: ignore[index]


class EpochBatches(Sampler[list[Key]]):
    """The batches of one epoch for all processes, in an order that no random state touches.

    Batch `i` belongs to process `i % processes`; their number is a multiple of `processes`. What remains at the end
    of an epoch is divided into batches that differ by one example at most; every example comes once, but that the
    first few come again where fewer remain than there are processes.

    It has no `batch_size` on purpose: Accelerate then takes batches of any size as they are and repeats none.

    Args:
        examples: how many there are.
        batch_size: examples in a batch of one process.
        seed: of the order.
        processes: how many share the batches.
    """

    def __init__(self, examples: int, batch_size: int, seed: int, processes: int = 1):
        self.examples, self.seed, self.processes = examples, seed, processes
        self._size = batch_size
        self._epoch, self._skipped = 0, 0
        self._order: tuple[int, torch.Tensor] | None = None

    def start(self, epoch: int, skip: int = 0) -> None:
        """Make the next iteration give this epoch, without the first `skip` batches of every process."""
        self._epoch, self._skipped = epoch, skip

    def __len__(self) -> int:
        """Batches of a whole epoch, of all processes together."""
        return -(-self.examples // (self._size * self.processes)) * self.processes

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self._epoch
        for number in range(self._skipped * self.processes, len(self)):
            yield self.batch(epoch, number)

    def batch(self, epoch: int, number: int) -> list[Key]:
        """The keys of one batch; `number` counts over all processes."""
        order = self._order_of(epoch)
        together, process = divmod(number, self.processes)
        start = together * self._size * self.processes
        remaining = min(self.examples - start, self._size * self.processes)
        if remaining < self.processes:
            positions = [(start + process) % self.examples]
        else:
            first = start + process * remaining // self.processes
            positions = list(range(first, start + (process + 1) * remaining // self.processes))
        return [(epoch, index) for index in order[positions].tolist()]

    def _order_of(self, epoch: int) -> torch.Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(stable_seed("order", self.seed, epoch))
            self._order = epoch, torch.randperm(self.examples, generator=generator)
        return self._order[1]
