"""From a source of pictures to regions: opened by worker processes, batched by similar size, bad ones told apart."""

import errno
import math
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset

from lxmert.detection.extraction_workers import Killed, in_order
from lxmert.detection.image_sources import ImageSource
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.processing.regions import Regions

# What a picture may be to blame for; anything else is a mistake in the code and stops the run.
BAD_IMAGE = (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError)
# What no picture is to blame for.
MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC)
REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (FileNotFoundError, "no such file"),
    (PermissionError, "no permission"),
    (UnidentifiedImageError, "no picture"),
    (Image.DecompressionBombError, "too many pixels"),
    (MemoryError, "not enough memory"),
    ((OSError, SyntaxError, EOFError), "damaged file"),
)
UNREADABLE = "cannot be read from where it lies"
# Reasons that, if they are those of many pictures in a row, are the machine's.
OF_THE_MACHINE = ("no such file", "no permission", "not enough memory", UNREADABLE)
BATCHES_WAITING = 4  # pictures from which a batch is chosen, in batches
MOST_WAITING = 128  # pictures


@dataclass(frozen=True, eq=False)
class FoundRegions:
    """The regions of one picture.

    Args:
        number: of the picture in its source.
        regions: with its `image_id`.
    """

    number: int
    regions: Regions


@dataclass(frozen=True)
class BadImage:
    """A picture that gives no regions.

    Args:
        number: of the picture in its source.
        reason: in a few words, to count by.
        error: what went wrong.
    """

    number: int
    reason: str
    error: Exception


@dataclass(frozen=True, eq=False)
class _Opened:
    number: int
    prepared: Any


class _Opening(Dataset):
    """Opens pictures; runs in worker processes."""

    def __init__(self, source: ImageSource, numbers: np.ndarray, extractor: RegionExtractor):
        self.source, self.numbers, self.extractor = source, numbers, extractor

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> _Opened | BadImage:
        number = int(self.numbers[index])
        try:
            return _Opened(number, self.extractor.prepare(self.source[number]))
        except BAD_IMAGE as error:
            if any(isinstance(cause, OSError) and cause.errno in MACHINE for cause in _chain(error)):
                raise
            return BadImage(number, reason_of(error), _plain(error))
        except Exception as error:
            error.add_note(f"This happened to image {self.source.ids[number].as_py()!r}, {self.source.where(number)}.")
            raise


def find_regions(
    source: ImageSource,
    numbers: np.ndarray,
    extractor: RegionExtractor,
    workers: int = 0,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
) -> Iterator[FoundRegions | BadImage]:
    """The regions of some pictures of a source, in an order that depends on the pictures and the batch size only.

    Memory holds a few batches of opened pictures, however many there are. A picture whose opening kills the worker
    process, twice, is a bad one; without workers it takes this process along.

    Args:
        source: of the pictures.
        numbers: (N,), which of them.
        extractor: finds the regions.
        workers: processes that open pictures; 0 opens them in this one.
        batch_size: pictures that go through a network together; the extractor's own if left out.
        device: where the extractor's network runs; left out, it stays where it is.

    Raises:
        ValueError: a batch size below 1, or workers below 0.
        TypeError, RuntimeError, ...: whatever is no picture's fault.
    """
    size = extractor.batch_size if batch_size is None else batch_size
    check_numbers(size, workers)
    most = max(size, min(size * BATCHES_WAITING, MOST_WAITING))
    waiting: list[_Opened] = []
    opened = in_order(_Opening(source, numbers, extractor), workers, lambda: _bring(extractor, device))
    with closing(opened):
        for item in opened:
            if isinstance(item, Killed):
                number = int(numbers[item.index])
                error = OSError(f"{source.where(number)} killed the process that opened it, twice.")
                yield BadImage(number, "killed the process that opened it", error)
            elif isinstance(item, BadImage):
                yield item
            else:
                waiting.append(item)
                if len(waiting) == most:
                    yield from _extract(_take_similar(waiting, size, extractor), source, extractor)
    while waiting:
        yield from _extract(_take_similar(waiting, size, extractor), source, extractor)


def check_numbers(batch_size: int, workers: int) -> None:
    """Refuse what `find_regions` would.

    Raises:
        ValueError: a batch size below 1, or workers below 0.
    """
    if batch_size < 1 or workers < 0:
        raise ValueError(f"batch_size must be at least 1 and workers at least 0, got {batch_size} and {workers}.")


def reason_of(error: BaseException) -> str:
    """Why a picture gives no regions, in a few words without names and numbers."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, (FileNotFoundError, PermissionError)):
            return UNREADABLE  # by the system, where decoders give no number
        for kind, reason in REASONS:
            if isinstance(cause, kind):
                return reason
    if not isinstance(chain[-1], ValueError):  # a decoder stumbled
        return "damaged file"
    said = re.sub(r"'[^']*'", "'...'", str(chain[-1]) or "cannot be used")
    return re.sub(r"\b\d+([.,]\d+)*(e[+-]?\d+)?", "N", said).partition(": ")[0][:80]


def _take_similar(waiting: list[_Opened], count: int, extractor: RegionExtractor) -> list[_Opened]:
    """Remove the picture that waited longest and those nearest to it in size."""
    heights, widths = np.log(np.maximum(1, [extractor.prepared_size(item.prepared) for item in waiting])).T
    distances = np.abs(heights - heights[0]) + np.abs(widths - widths[0])
    distances[0] = -math.inf
    chosen = set(np.argsort(distances, kind="stable")[:count].tolist())
    batch = [item for place, item in enumerate(waiting) if place in chosen]
    waiting[:] = [item for place, item in enumerate(waiting) if place not in chosen]
    return batch


def _extract(
    batch: Sequence[_Opened], source: ImageSource, extractor: RegionExtractor
) -> Iterator[FoundRegions | BadImage]:
    """One batch; where it fails, its halves, so that only pictures to blame are lost."""
    found: list[Regions] = []
    failed: Exception | None = None
    try:
        found = extractor.extract([item.prepared for item in batch])
    except torch.OutOfMemoryError as error:
        failed = MemoryError(str(error) or "The network needs more memory than there is.")
    except ValueError as error:
        failed = _plain(error)
    except Exception as error:
        names = ", ".join(source.where(item.number) for item in batch)
        error.add_note(f"This happened to {names}.")
        raise
    # here, as within `except` the error would keep the failed batch in the network's memory
    if failed is None:
        for item, regions in zip(batch, found, strict=True):
            yield FoundRegions(item.number, replace(regions, image_id=source.ids[item.number].as_py()))
    elif len(batch) > 1:
        middle = len(batch) // 2
        yield from _extract(batch[:middle], source, extractor)
        yield from _extract(batch[middle:], source, extractor)
    else:
        yield BadImage(batch[0].number, reason_of(failed), failed)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the first cause last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _plain(error: Exception) -> Exception:
    """A copy without what keeps the picture in memory, and that a worker can send."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:  # one whose construction takes other arguments
        return ValueError(str(error))


def _bring(extractor: RegionExtractor, device: str | torch.device | None) -> None:
    if device is not None:
        extractor.to(device)
