"""Workers that die, whose pictures are named, and what they send."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from lxmert.detection import ImageFolder, extract_images
from lxmert.detection.extraction_workers import Killed, _packed, _unpacked, in_order
from lxmert.processing import RegionStore
from tests.detection import extraction_runs as runs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaders look for dead workers every 5 seconds."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))


class Deadly(torch.utils.data.Dataset):
    """Numbers, some of which kill."""

    def __init__(self, length: int, deadly: set[int], how: Any = runs.die):
        self.length, self.deadly, self.how = length, deadly, how

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        if index in self.deadly:
            self.how()
        return torch.full((1000,), index)


def opened(items: Iterator[Any]) -> list[int | str]:
    return [f"killed {item.index}" if isinstance(item, Killed) else int(item[0]) for item in items]


@pytest.mark.parametrize("how", [runs.die, lambda: os._exit(0)])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_kills_workers_is_left_out(workers: int, how: Any) -> None:
    found = opened(in_order(Deadly(20, {0, 7, 8, 19}, how), workers, lambda: None))
    assert [item for item in found if isinstance(item, int)] == [i for i in range(20) if i not in (0, 7, 8, 19)]
    assert {item for item in found if isinstance(item, str)} == {f"killed {i}" for i in (0, 7, 8, 19)}
    assert len(found) == 20


def test_workers_that_always_die_stop_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"1\d pictures in a row killed the processes that opened them, perhaps"):
        opened(in_order(Deadly(40, set(range(40))), 2, lambda: None))


def test_an_error_of_a_worker_is_no_death() -> None:
    def fail() -> None:
        raise RuntimeError("of the code")

    with pytest.raises(RuntimeError, match="of the code"):
        opened(in_order(Deadly(4, {1}, fail), 2, lambda: None))


def test_a_death_raises_nothing_elsewhere_and_torchs_handler_comes_back() -> None:
    next(iter(DataLoader(Deadly(2, set()), num_workers=1)))  # sets the handler
    before = signal.getsignal(signal.SIGCHLD)
    items = in_order(Deadly(6, {4}), 1, lambda: None)
    assert int(next(items)[0]) == 0
    assert signal.getsignal(signal.SIGCHLD) is not before
    for _ in range(100):
        _ = sum(range(10_000))  # where torch would raise its error
    assert sorted(opened(items), key=str) == [1, 2, 3, 5, "killed 4"]
    assert signal.getsignal(signal.SIGCHLD) is before


def test_a_deadly_picture_is_skipped_by_name(tmp_path: Path) -> None:
    class Stumbling(runs.ColourExtractor):
        def prepare(self, image: Any) -> Image.Image:
            if str(image).endswith("picture04.png"):
                os._exit(1)
            return super().prepare(image)

    pictures = runs.make_pictures(tmp_path / "pictures")
    report = extract_images(ImageFolder(pictures), Stumbling(), tmp_path / "store", workers=2, progress=False)
    (skipped,) = report.reasons()["killed the process that opened it"]
    assert skipped.image_id == "part0/picture04"
    assert skipped.message == f"{pictures}/part0/picture04.png killed the process that opened it, twice."
    assert len(RegionStore(tmp_path / "store")) == 13


def test_what_waits_takes_no_file_descriptors() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (now + 60, limits[1]))
    try:
        found = list(in_order(Deadly(200, set()), 2, lambda: None))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [int(item[0]) for item in found] == list(range(200))
    assert not any(item.is_shared() for item in found)


def test_items_come_as_they_were_sent() -> None:
    pixels = torch.arange(6.0).reshape(2, 3)
    item = {"pixels": (pixels, 7), "array": np.arange(3), "image": Image.new("RGB", (2, 2), "red")}
    packed = _packed(item)
    assert [tensor.dtype for tensor in packed] == [torch.uint8, torch.float32]
    got = _unpacked(packed)
    assert torch.equal(got["pixels"][0], pixels)
    assert got["pixels"][0] is not pixels
    assert (got["pixels"][1], got["array"].tolist(), got["image"].getpixel((1, 1))) == (7, [0, 1, 2], (255, 0, 0))
