"""How much memory reading regions takes: a region store or a bottom-up file of a tenth of the images, and of all.

Counted is anonymous memory (RssAnon), what a process has allocated for itself. Plain resident memory also counts pages
of mapped files; these belong to the system's page cache, are shared by all processes and go when memory runs short.
"""

import argparse
import base64
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from lxmert import Regions
from lxmert.processing.bottom_up import BottomUpFile
from lxmert.processing.region_store import RegionStore

IMAGE_SIZE = (480, 640)
IMAGE_ID = "COCO_train2014_{:012d}"


def synthetic(images: int, regions: int, width: int, seed: int = 0) -> Iterator[Regions]:
    """Regions of so many images: rows of one random block in ever other places, which is quick and hardly repeats."""
    generator = np.random.default_rng(seed)
    block = generator.random(regions * width * 2, dtype=np.float32)
    corners = np.sort(generator.random((2, regions, 2), dtype=np.float32), axis=0)
    boxes = np.concatenate([corners[0], corners[1]], axis=1) * np.array(IMAGE_SIZE[::-1] * 2, dtype=np.float32)
    labels = np.arange(regions)
    for number in tqdm(range(images), desc=f"Writing {images:,} images", unit=" images"):
        start = number * 7919 % (regions * width)
        yield Regions(
            features=block[start : start + regions * width].reshape(regions, width),
            boxes=boxes,
            image_size=IMAGE_SIZE,
            object_ids=labels,
            object_scores=np.full(regions, 0.5),
            attribute_ids=labels,
            attribute_scores=np.full(regions, 0.25),
            image_id=IMAGE_ID.format(number),
        )


def write_file(path: Path, regions: Iterator[Regions]) -> None:
    """Write a bottom-up file in the original's format."""
    with path.open("wb") as file:
        for item in regions:
            arrays = [item.object_ids, item.object_scores, item.attribute_ids, item.attribute_scores]
            labels = [base64.b64encode(np.asarray(array).tobytes()) for array in arrays]
            start = [str(value).encode() for value in (item.image_id, *item.image_size)]
            end = [
                str(len(item)).encode(),
                *(base64.b64encode(array.tobytes()) for array in (item.boxes, item.features)),
            ]
            file.write(b"\t".join([*start, *labels, *end]) + b"\r\n")


def anonymous_megabytes() -> float:
    """Anonymous resident memory of this process."""
    gc.collect()
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def read(path: Path, batches: int, batch_size: int) -> None:
    """Open regions, read random batches and print the memory taken, as JSON; runs in a process of its own."""
    before = anonymous_megabytes()
    regions = RegionStore(path) if path.is_dir() else BottomUpFile(path, progress=False)
    opened = anonymous_megabytes()
    generator = np.random.default_rng(1)
    total = 0.0
    for _ in range(batches):
        image_ids = [IMAGE_ID.format(number) for number in generator.integers(len(regions), size=batch_size)]
        total += sum(float(item.features[-1, -1]) for item in regions.many(image_ids))
    print(json.dumps({"before": before, "opened": opened, "after": anonymous_megabytes(), "sum": total}))


def measure(arguments: argparse.Namespace, images: int, folder: Path) -> dict[str, float]:
    """Write regions of so many images and read them in a fresh process."""
    path = folder / f"regions_{images}{'.tsv' if arguments.format == 'tsv' else ''}"
    regions = synthetic(images, arguments.regions, arguments.width)
    if arguments.format == "tsv":
        write_file(path, regions)
        BottomUpFile(path)  # checks the rows and writes the index, once
    else:
        RegionStore.create(path, regions)
    files = [path] if path.is_file() else list(path.iterdir())
    command = [sys.executable, __file__, "--read", path, "--batches", arguments.batches]
    command += ["--batch-size", arguments.batch_size]
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(printed)
    return {"images": images, "on_disk": sum(file.stat().st_size for file in files) / 1e6, **figures}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--images", type=int, default=20_000, help="in the larger of the two measurements")
parser.add_argument("--regions", type=int, default=36, help="of each image")
parser.add_argument("--width", type=int, default=2048, help="of the features")
parser.add_argument("--batches", type=int, default=200, help="read at random")
parser.add_argument("--batch-size", type=int, default=32, help="images in a batch")
parser.add_argument("--format", choices=["store", "tsv"], default="store", help="region store or bottom-up file")
parser.add_argument("--folder", type=Path, default=None, help="where to write, by default a temporary folder")
parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
parser.add_argument("--read", type=Path, default=None, help=argparse.SUPPRESS)


def main() -> None:
    """Measure twice and print a table."""
    arguments = parser.parse_args()
    if arguments.read is not None:
        read(arguments.read, arguments.batches, arguments.batch_size)
        return
    rows = []
    for images in (arguments.images // 10, arguments.images):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(measure(arguments, images, Path(folder)))
    print(f"\n{arguments.format}, {arguments.regions} x {arguments.width} numbers an image; anonymous memory in MiB")
    print("| images | on disk, MB | before | opened | after reading | taken |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = (row["before"], row["opened"], row["after"], row["after"] - row["before"])
        print(
            f"| {row['images']:,} | {row['on_disk']:,.0f} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |"
        )
    growth = [row["after"] - row["before"] for row in rows]
    print(f"Ten times the images take {growth[1] - growth[0]:.1f} MiB more.")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
