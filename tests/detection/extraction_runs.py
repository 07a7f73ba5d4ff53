"""Small extractions that can be killed; also a program, so that a run can have several processes.

`python extraction_runs.py <plan>` with the keywords of `run` in JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lxmert import Regions
from lxmert.detection import ExtractionReport, ImageFolder, extract_images
from lxmert.processing import RegionExtractor, RegionStore
from lxmert.processing.images import load_image

PICTURES = 14


class ColourExtractor(RegionExtractor):
    """One region, its features colour and size of the picture; may do something at a given picture."""

    batch_size = 3
    object_names = ("thing",)
    feature_dim = 5

    def __init__(self, at: int | None = None, action: Callable[[], None] | None = None, version: int = 1):
        self.at, self.action, self.version, self.seen = at, action, version, 0
        self.batches: list[list[tuple[int, int]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Extractors of tests are not known by name."""

    def settings(self) -> dict[str, Any]:
        return {"version": self.version}

    def prepare(self, image: Any) -> Image.Image:
        return load_image(image)

    def prepared_size(self, prepared: Image.Image) -> tuple[int, int]:
        return prepared.height, prepared.width

    def extract(self, prepared: Sequence[Image.Image]) -> list[Regions]:
        self.batches.append([image.size for image in prepared])
        found = []
        for image in prepared:
            self.seen += 1
            if self.action is not None and self.seen == self.at:
                self.action()
            features = [[*np.asarray(image)[0, 0] / 255, *image.size]]
            box = [[0, 0, image.width, image.height]]
            found.append(
                Regions(features, box, (image.height, image.width), object_ids=[0], object_names=self.object_names)
            )
        return found


del RegionExtractor.known["ColourExtractor"]


def make_pictures(folder: Path) -> Path:
    """Pictures of many sizes in two folders, and files that are none."""
    for i in range(PICTURES):
        place = folder / f"part{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5 + i * 7 % 20, 4 + i * 5 % 9), (i, 2 * i, 255 - i)).save(place / f"picture{i:02d}.png")
    (folder / "part0" / "text.jpg").write_text("no picture")
    (folder / "part1" / "empty.png").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)
    Image.fromarray(noise).save(folder / "part1" / "truncated.png")
    whole = (folder / "part1" / "truncated.png").read_bytes()
    (folder / "part1" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    return folder


def content(path: Path) -> dict[str, list[float]]:
    """All that a store says of its images."""
    return {name: [*regions.features[0].tolist(), *regions.image_size] for name, regions in RegionStore(path).items()}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_file_operation(folder: Path, number: int | None) -> list[str]:
    """Die before the given opening for writing, renaming or removal below a folder; gives those that came so far."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        changes = event in ("os.rename", "os.remove", "os.mkdir") or (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wa+")
        )
        if changes and str(arguments[0]).startswith(str(folder)):
            seen.append(f"{event} {Path(str(arguments[0])).name}")
            if len(seen) == number:
                die()

    sys.addaudithook(hook)
    return seen


def run(
    pictures: str,
    path: str,
    dies_at: int | None = None,
    dies_in_rank: int = 0,
    operation: int | None = None,
    **more: Any,
) -> ExtractionReport:
    """One run, which dies at a picture or a file operation, counted from 1, if asked to."""
    mine = dies_at if int(os.environ.get("RANK", "0")) == dies_in_rank else None
    extractor = ColourExtractor(mine, die)
    if operation is not None:
        at_file_operation(Path(path), operation)
    return extract_images(
        ImageFolder(pictures), extractor, path, **({"shard_size": 3, "progress": False, "batch_size": 2} | more)
    )


def in_child(work: Callable[[], Any]) -> bool:
    """Do it in a process of its own; whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    report = run(**json.loads(sys.argv[1]))
    print(json.dumps([report.done, report.reused, len(report.skipped), report.processes]))
