"""What batches of pre-training weigh, and how fast they are made: regions read for each, or out of a table.

python benchmarks/resident_regions.py --images 400 --device cpu

Regions of the paper's size are written to a store of float16. Then batches of training are made, without a model: by
the loader alone, and brought to the device and made whole there. The figures depend on the machine.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lxmert import LxmertProcessor, Regions
from lxmert.processing import RegionStore, train_wordpiece_tokenizer
from lxmert.training import ORIGINAL_CODE, PretrainingExamples, TrainingSettings, pretraining_task
from lxmert.training.batches import EpochBatches, EpochExamples
from lxmert.training.feeding import Feeding
from lxmert.training.task import Task

WORDS = [f"word{number}" for number in range(500)]
VARIANTS = [(None, 1), (None, 5), ("float16", 1), ("float16", 5)]  # resident_regions, sentences_per_image


def synthetic(arguments: argparse.Namespace) -> Iterator[Regions]:
    """Regions with features of positive halves, as those of a detector are, and labels."""
    generator = np.random.default_rng(0)
    count = arguments.regions
    for number in range(arguments.images):
        corners = np.sort(generator.uniform(0, 400, (count, 2, 2)), axis=1).reshape(count, 4)
        labels = {"object_ids": generator.integers(1600, size=count), "object_scores": generator.random(count)}
        labels |= {"attribute_ids": generator.integers(400, size=count), "attribute_scores": generator.random(count)}
        features = generator.random((count, arguments.width), dtype=np.float32)
        yield Regions(features, corners, (400, 400), image_id=f"image {number}", **labels)


def make_task(arguments: argparse.Namespace, folder: Path) -> Task:
    """Pre-training on sentences of random words."""
    generator = np.random.default_rng(1)
    bar = tqdm(synthetic(arguments), total=arguments.images, desc="Writing regions", unit=" images")
    store = RegionStore.create(folder / "regions", bar)
    rows = arguments.images * arguments.sentences
    columns = {
        "image_id": [f"image {row % arguments.images}" for row in range(rows)],
        "sentence": [" ".join(generator.choice(WORDS, int(generator.integers(4, 16)))) for _ in range(rows)],
        "answers": [["yes"]] * rows,
        "scores": [[1.0]] * rows,
    }
    examples = PretrainingExamples(datasets.Dataset.from_dict(columns), {"yes": 0})
    processor = LxmertProcessor(train_wordpiece_tokenizer(WORDS))
    return pretraining_task("resident regions", examples, examples, processor, store, ORIGINAL_CODE)


def bytes_of(value: object) -> int:
    """Of all tensors in a batch."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return sum(map(bytes_of, parts))


def measure(task: Task, arguments: argparse.Namespace, resident: str | None, together: int) -> dict[str, float]:
    """Seconds to load the table; images and bytes of a batch; examples a second of the loader and of whole batches."""
    device = torch.device(arguments.device)
    settings = TrainingSettings("unused", resident_regions=resident, sentences_per_image=together)  # type: ignore[arg-type]
    feeding, started = Feeding(task, settings), time.perf_counter()
    feeding.load(device, progress=True)
    loading = time.perf_counter() - started
    images = feeding.training_images()
    order = EpochBatches(len(task.training), arguments.batch_size, settings.seed, 1, images, together)
    loader = DataLoader(
        EpochExamples(task.training),
        batch_sampler=order,
        collate_fn=feeding.collate(training=True),
        num_workers=arguments.workers,
        pin_memory=device.type == "cuda",
    )
    whole = feeding.filled(OnDevice(loader, device))
    sent = [bytes_of(batch) for batch in loader]
    shown = [len(batch["visual_feats"]) for batch in whole]
    return {
        "loading": loading,
        "images": sum(shown) / len(shown),
        "megabytes": sum(sent) / len(sent) / 1e6,
        "loader": pace(loader, order, arguments.epochs, device),
        "whole": pace(whole, order, arguments.epochs, device),
    }


class OnDevice:
    """The batches of a loader on a device, as the loop has them."""

    def __init__(self, loader: DataLoader, device: torch.device):
        self.loader, self.device = loader, device

    def __iter__(self) -> Iterator[dict]:
        return (send_to_device(batch, self.device, non_blocking=True) for batch in self.loader)


def pace(batches: Iterable[dict], order: EpochBatches, epochs: int, device: torch.device) -> float:
    """Examples a second over whole epochs."""
    examples, started = 0, time.perf_counter()
    for epoch in range(epochs):
        order.start(epoch)
        for batch in tqdm(batches, total=len(order), desc="Timing batches", unit=" batches", leave=False):
            examples += len(batch["input_ids"])
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return examples / (time.perf_counter() - started)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--images", type=int, default=400, help="in the store (default: 400)")
parser.add_argument("--sentences", type=int, default=5, help="about each image (default: 5)")
parser.add_argument("--regions", type=int, default=36, help="of each image (default: 36)")
parser.add_argument("--width", type=int, default=2048, help="of the features (default: 2048)")
parser.add_argument("--batch-size", type=int, default=256, help="examples in a batch (default: 256)")
parser.add_argument("--epochs", type=int, default=2, help="over all sentences, timed together (default: 2)")
parser.add_argument("--workers", type=int, default=0, help="processes that load batches (default: 0)")
parser.add_argument("--device", default="cpu", help='where batches go, such as "cuda" (default: cpu)')
parser.add_argument("--folder", type=Path, help="where to write the store, by default a temporary folder")


def main() -> None:
    """Measure each variant and print a table."""
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        task = make_task(arguments, Path(folder))
        found = [(variant, measure(task, arguments, *variant)) for variant in VARIANTS]
    sizes = (
        f"{arguments.images:,} images of {arguments.regions} x {arguments.width}, {arguments.sentences} sentences each"
    )
    print(f"\n{sizes}; batches of {arguments.batch_size}, {arguments.workers} workers, {arguments.device}")
    print("| regions | sentences_per_image | loading, s | images a batch | MB sent a batch |", end="")
    print(" examples/s, loader | examples/s, on the device |\n|---|---|---|---|---|---|---|")
    for (resident, together), row in found:
        where = f"resident, {resident}" if resident else "read for each batch"
        print(
            f"| {where} | {together} | {row['loading']:.1f} | {row['images']:.0f} | {row['megabytes']:,.3f} |", end=""
        )
        print(f" {row['megabytes']:,.3f} | {row['loader']:,.0f} | {row['whole']:,.0f} |")


if __name__ == "__main__":
    main()
