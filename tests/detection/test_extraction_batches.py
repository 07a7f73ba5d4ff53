"""Batches of similar size, bad pictures told apart from mistakes, and bounded memory."""

import errno
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import Regions
from lxmert.detection import ImageMapping
from lxmert.detection.extraction_batches import BadImage, FoundRegions, find_regions, reason_of
from tests.detection.extraction_runs import ColourExtractor


def find(images: dict[str, object], extractor: ColourExtractor, **more: object) -> list[FoundRegions | BadImage]:
    return list(find_regions(ImageMapping(images), np.arange(len(images)), extractor, **more))


def picture(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height))


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_of_similar_size_go_together(workers: int) -> None:
    sizes = [(10, 20), (20, 10)] * 12
    extractor = ColourExtractor()
    found = find({str(i): picture(*size) for i, size in enumerate(sizes)}, extractor, workers=workers, batch_size=4)
    assert sorted(item.number for item in found) == list(range(24))
    assert [len(batch) for batch in extractor.batches] == [4] * 6
    assert [len(set(batch)) for batch in extractor.batches] == [1] * 6, "upright with upright, wide with wide"
    for item in found:
        assert isinstance(item, FoundRegions)
        assert item.regions.image_id == str(item.number)
        assert item.regions.features[0, 3:].tolist() == list(sizes[item.number])


def test_none_waits_for_ever() -> None:
    """A picture of a size of its own is done after at most as many others as may wait."""
    sizes = [(900, 3)] + [(10, 10)] * 40
    extractor = ColourExtractor()
    find({str(i): picture(*size) for i, size in enumerate(sizes)}, extractor, batch_size=2)
    assert (900, 3) in extractor.batches[0]


def test_few_pictures_are_open_at_a_time() -> None:
    open_now, most = 0, 0

    class Counting(ColourExtractor):
        def prepare(self, image: object) -> Image.Image:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            return super().prepare(image)

        def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
            nonlocal open_now
            open_now -= len(prepared)
            return super().extract(prepared)

    find({str(i): picture(i % 17 + 1, 5) for i in range(200)}, Counting(), batch_size=2)
    assert most == 8


class Choosy(ColourExtractor):
    """Refuses batches in which one picture is black, as a network might."""

    def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
        if any(image.getpixel((0, 0)) == (0, 0, 0) for image in prepared):
            raise ValueError("an image of 7 pixels is black")
        return super().extract(prepared)


def test_one_picture_does_not_spoil_a_batch() -> None:
    images = {str(i): Image.new("RGB", (9, 9), "white") for i in range(5)} | {"5": picture(9, 9)}
    found = find(images, Choosy(), batch_size=6)
    assert [item.number for item in found] == list(range(6))
    (bad,) = [item for item in found if isinstance(item, BadImage)]
    assert (bad.number, bad.reason) == (5, "an image of N pixels is black")


def test_memory_that_runs_short_makes_batches_smaller() -> None:
    class Small(ColourExtractor):
        def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
            if len(prepared) > 1:
                raise torch.OutOfMemoryError
            return super().extract(prepared)

    found = find({str(i): picture(9, 9) for i in range(5)}, Small(), batch_size=5)
    assert [item.number for item in found] == list(range(5))

    class Smaller(ColourExtractor):
        def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
            if any(image.width > 9 for image in prepared):
                raise torch.OutOfMemoryError("5 bytes")
            return super().extract(prepared)

    first, bad, last = find({"a": picture(9, 9), "b": picture(10, 9), "c": picture(9, 9)}, Smaller())
    assert (first.number, bad.number, last.number) == (0, 1, 2)
    assert (bad.reason, str(bad.error)) == ("not enough memory", "5 bytes")


def test_a_batch_too_large_for_memory_is_given_up_before_its_halves() -> None:
    kept: list[weakref.ref] = []

    class Large(ColourExtractor):
        def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
            assert all(reference() is None for reference in kept), "the batch before still takes memory"
            batch = torch.zeros(len(prepared))
            kept.append(weakref.ref(batch))
            if len(batch) > 2:
                raise torch.OutOfMemoryError
            return super().extract(prepared)

    extractor = Large()
    assert len(find({str(i): picture(9, 9) for i in range(8)}, extractor, batch_size=8)) == 8
    assert [len(batch) for batch in extractor.batches] == [2] * 4
    assert len(kept) == 7


@pytest.mark.parametrize("workers", [0, 1])
def test_what_no_picture_is_to_blame_for_stops_the_run(workers: int, tmp_path: Path) -> None:
    class Broken(ColourExtractor):
        def prepare(self, image: object) -> Image.Image:
            raise self.error

    extractor = Broken()
    extractor.error = AttributeError("no such attribute")
    with pytest.raises(AttributeError, match="no such attribute"):
        find({"a": picture(9, 9)}, extractor, workers=workers)
    extractor.error = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(OSError, match="Too many open files"):
        find({"a": picture(9, 9)}, extractor, workers=workers)
    extractor.error = OSError(errno.EIO, "Input/output error")
    (bad,) = find({"a": picture(9, 9)}, extractor, workers=workers)
    assert (bad.number, bad.reason) == (0, "cannot be read from where it lies")
    assert str(bad.error) == "[Errno 5] Input/output error"


def test_bad_pictures_keep_nothing_in_memory() -> None:
    (bad,) = find({"a": "gone.png"}, ColourExtractor())
    assert isinstance(bad.error, FileNotFoundError)
    assert bad.error.__traceback__ is bad.error.__cause__ is bad.error.__context__ is None


def test_torchs_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    find({"a": picture(9, 9)}, ColourExtractor())
    assert torch.equal(before, torch.get_rng_state())


def test_reasons_are_counted_together() -> None:
    def caused(error: Exception, cause: Exception) -> Exception:
        error.__cause__ = cause
        return error

    bomb = caused(ValueError("No image can be read from a.png: 5."), Image.DecompressionBombError("5 pixels"))
    assert reason_of(bomb) == "too many pixels"
    assert reason_of(caused(ValueError("x"), PermissionError(13, "denied"))) == "no permission"
    assert reason_of(caused(ValueError("x"), IndexError("index 5"))) == "damaged file"
    assert reason_of(caused(ValueError("x"), MemoryError())) == "not enough memory"
    assert reason_of(ValueError("image 'a b' of 1,000.5 x 3e+09 float16: do this")) == "image '...' of N x N float16"
