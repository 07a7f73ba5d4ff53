"""Worker processes that open pictures, and what becomes of a picture that kills them."""

import io
import multiprocessing
import pickle
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset, get_worker_info

DEATHS = 2  # that a picture may bring before it is left out
LEFT_OUT_IN_A_ROW = 10  # more are no fault of the pictures
NOTHING = -1


@dataclass(frozen=True)
class Killed:
    """Stands for an item that killed the process that opened it.

    Args:
        index: of the item.
    """

    index: int


def in_order(items: Dataset, workers: int, started: Callable[[], None]) -> Generator[Any, None, None]:
    """The items of a data set in their order, opened by worker processes.

    A worker that dies, by a fault in a decoder or by the system, is replaced. An item that was being opened at two
    deaths comes as `Killed`, out of the order.

    Args:
        items: with a length; opened by their numbers.
        workers: number of processes; 0 opens them in this one, which then dies itself.
        started: called whenever workers have started: only then may this process go to an accelerator, which they must
            not share.

    Raises:
        RuntimeError: workers that die whatever they open.
    """
    indices = np.arange(len(items))  # type: ignore[arg-type]
    deaths: Counter[int] = Counter()
    left_out = 0
    with _no_word_of_deaths() as quiet:
        while len(indices):
            came, dead, failure = 0, list[int](), None
            opening = torch.full((max(1, workers),), NOTHING).share_memory_()
            loader = iter(_loader(_Watched(items, opening), indices, workers))
            quiet()
            started()
            try:
                for item in loader:
                    item = _unpacked(item) if workers else item
                    came += 1
                    left_out = 0
                    yield item
            except Exception as error:
                dead = _dead(loader)
                if not dead:
                    raise
                failure = error.with_traceback(None)
            finally:
                del loader  # ends the workers
            indices = indices[came:]
            if failure is None:
                return
            blamed = [index for place in dead if (index := int(opening[place])) != NOTHING and index in indices]
            if not blamed and not came:
                raise RuntimeError(f"Worker processes die before they open anything: {failure}") from failure
            deaths.update(blamed)
            for index in blamed:
                if deaths[index] >= DEATHS:
                    indices = indices[indices != index]
                    left_out += 1
                    yield Killed(index)
            if left_out > LEFT_OUT_IN_A_ROW:
                raise RuntimeError(
                    f"{left_out} pictures in a row killed the processes that opened them, perhaps because memory is "
                    "short: take fewer workers."
                ) from failure


class _Watched(Dataset):
    """Items as workers send them; says which one each worker opens."""

    def __init__(self, items: Dataset, opening: torch.Tensor):
        self.items, self.opening = items, opening

    def __getitem__(self, index: int) -> Any:
        index = int(index)
        if (worker := get_worker_info()) is None:
            return self.items[index]
        self.opening[worker.id] = index
        item = _packed(self.items[index])
        self.opening[worker.id] = NOTHING
        return item


def _loader(items: Dataset, indices: np.ndarray, workers: int) -> DataLoader:
    return DataLoader(
        Subset(items, indices),  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=workers,
        # A forked worker shares the network; started otherwise, it gets its tensors by shared memory.
        multiprocessing_context=multiprocessing.get_context("fork") if workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # leaves torch's own random state alone
    )


def _dead(loader: Any) -> list[int]:
    """Numbers of the workers that ended."""
    workers = getattr(loader, "_workers", [])
    for worker in workers:
        worker.join(0.05)  # its connections close a moment before it ends
    return [place for place, worker in enumerate(workers) if worker.exitcode is not None]


@contextmanager
def _no_word_of_deaths() -> Iterator[Callable[[], None]]:
    """Keep torch from raising an error wherever this process happens to be when a worker dies; loaders look themselves.

    What it gives is to be called after a loader has set torch's handler.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before: Any = signal.getsignal(signal.SIGCHLD)
    after: list[Any] = []

    def quiet() -> None:
        if not after:
            after.append(signal.getsignal(signal.SIGCHLD))
            by_torch = getattr(before, "__module__", "").startswith("torch.")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if by_torch or before is None else before)

    try:
        yield quiet
    finally:
        if after and after[0] is not None:
            signal.signal(signal.SIGCHLD, after[0])


class _Pickler(pickle.Pickler):
    """Takes tensors out of what it pickles."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.tensors: list[torch.Tensor] = []

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not torch.Tensor:
            return None
        self.tensors.append(value)
        return len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: list[torch.Tensor]):
        super().__init__(file)
        self.tensors = tensors

    def persistent_load(self, number: int) -> torch.Tensor:
        return self.tensors[number].clone()


def _packed(item: Any) -> list[torch.Tensor]:
    """An item as tensors only: they travel in shared memory, and a worker that dies leaves no half message."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(item)
    return [torch.frombuffer(file.getbuffer(), dtype=torch.uint8), *pickler.tensors]


def _unpacked(packed: list[torch.Tensor]) -> Any:
    """The item in memory of its own: shared memory costs a file descriptor for each tensor.

    A copy of 3 x 600 x 800 numbers takes 1.5 ms; as part of a pickle it would take 7.
    """
    pickled, *tensors = packed
    return _Unpickler(io.BytesIO(pickled.numpy().tobytes()), tensors).load()


def _unchanged(item: Any) -> Any:
    return item
