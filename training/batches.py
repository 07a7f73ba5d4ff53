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
        images: (examples,), numbers of the images that they are about, to keep examples of one image together.
        sentences_per_image: so many at most follow one another; which of an image's examples do is drawn anew in every
            epoch. The end of a batch may part them.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        seed: int,
        processes: int = 1,
        images: torch.Tensor | None = None,
        sentences_per_image: int = 1,
    ):
        self.examples, self.seed, self.processes = examples, seed, processes
        self.images, self.sentences_per_image = images, sentences_per_image
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
            order = torch.randperm(self.examples, generator=generator)
            if self.images is not None and self.sentences_per_image > 1:
                order = order[_by_groups(self.images[order], self.sentences_per_image, generator)]
            self._order = epoch, order
        return self._order[1]


def _by_groups(images: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """(N,), positions in an order in which up to `size` of one image follow one another, the groups shuffled.

    Args:
        images: (N,), numbers of images.
        size: of a group; the last of an image may be smaller.
        generator: of the order of the groups.
    """
    positions = images.argsort(stable=True)  # image by image
    lengths = images[positions].unique_consecutive(return_counts=True)[1]
    ranks = torch.arange(len(images)) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)  # within the image
    numbers = (ranks % size == 0).cumsum(0) - 1  # of the group that each belongs to
    places = torch.randperm(int(numbers[-1]) + 1, generator=generator)[numbers]
    return positions[places.argsort(stable=True)]
