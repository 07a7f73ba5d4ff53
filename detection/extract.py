"""From pictures to a region store: a few in memory, or millions in shards."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from accelerate.utils import broadcast_object_list, gather_object
from tqdm.auto import tqdm

from lxmert.detection.extraction_batches import OF_THE_MACHINE, BadImage, check_numbers, find_regions, reason_of
from lxmert.detection.extraction_folder import ExtractionFolder
from lxmert.detection.extraction_progress import SharedProgress
from lxmert.detection.extraction_report import ExtractionReport, SkippedImage, append_skipped
from lxmert.detection.image_sources import ImageMapping, ImageSource
from lxmert.processing.processes import process_state
from lxmert.processing.record_tables import printable
from lxmert.processing.region_extractor import ImageInput, RegionExtractor
from lxmert.processing.region_rows import FeaturesType
from lxmert.processing.region_shards import RegionShards
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import Regions

SHARD_SECONDS = 300.0
FIRST_PICTURES = 100  # all unreadable for one reason, they stop a run


def extract_regions(
    images: Mapping[str, ImageInput], extractor: RegionExtractor, path: str | Path, progress: bool = True
) -> tuple[RegionStore, bool]:
    """Find the regions of every image and store them, or reuse the store if it holds just these.

    For as many as one process does in one go; `extract_images` is for more, and for pictures that may be bad.

    Args:
        images: pictures by image id.
        extractor: finds the regions.
        path: folder of the store.
        progress: show a bar with images per second and time left.

    Returns:
        The store, and whether it was there already.

    Raises:
        ValueError: no image, an image id that is no string, or a picture that cannot be read.
        FileNotFoundError: a picture that is not there.
        FileExistsError: another store, or something else, is at `path`.
    """
    source = ImageMapping(images)
    path = Path(path)
    description: dict[str, Any] = {"region_extractor": extractor.to_dict()}
    if path.exists():
        store = RegionStore(path) if path.is_dir() and any(path.iterdir()) else None
        if store is not None and store.description == description and store.keys() == images.keys():
            return store, True
        raise FileExistsError(
            f"{path} holds other images, or regions found with other settings: remove it or choose another folder."
        )

    def found() -> Iterator[Regions]:
        items = find_regions(source, np.arange(len(images)), extractor)
        for item in tqdm(items, total=len(images), desc="Regions", unit=" images", disable=not progress):
            if isinstance(item, BadImage):
                raise item.error
            yield item.regions

    return RegionStore.create(path, found(), description), False


def extract_images(
    source: ImageSource,
    extractor: RegionExtractor,
    path: str | Path,
    *,
    workers: int = 0,
    batch_size: int | None = None,
    shard_size: int = 1000,
    features_dtype: FeaturesType = "float16",
    retry_skipped: bool = False,
    progress: bool = True,
) -> ExtractionReport:
    """Find the regions of any number of images and store them; killed and started again, it goes on where it was.

    Pictures that cannot be read, or that the extractor refuses, are skipped and listed. Every process that Accelerate
    or torchrun started takes its share and writes its own files of rows, each whole or absent, so that a kill loses the
    open ones only; the next run, of any number of processes, does their images again. At the end the files become a
    store where they lie. Run again with more images, the store grows. A picture that changes behind its id goes
    unnoticed.

    Args:
        source: of the pictures, see `open_images`.
        extractor: finds the regions; its network goes to this process's accelerator, if there is one.
        path: folder of the store: new, or of runs with the same extractor.
        workers: processes that open pictures, for each process that finds regions; 0 opens them there.
        batch_size: pictures that go through a network together; the extractor's own if left out.
        shard_size: images in a file of rows. Fewer come together where a file took five minutes.
        features_dtype: "float16" takes half the space, "float32" loses nothing.
        retry_skipped: try pictures again that earlier runs skipped.
        progress: show a bar over all processes with images per second and time left.

    Returns:
        The same report in every process; `RegionStore(path)` opens the store.

    Raises:
        FileExistsError: at `path` are regions of another extractor or type, other images with the same ids, something
            else, or a run that still writes.
        ValueError: numbers out of range.
        OSError: the first hundred pictures that cannot be read, all for the same reason.
        RuntimeError: processes that see different images, or files of the store that vanish meanwhile.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size}.")
    check_numbers(1 if batch_size is None else batch_size, workers)
    started = time.perf_counter()
    state = process_state()
    folder = ExtractionFolder(Path(path), extractor, features_dtype)
    with ExitStack() as stack:
        stack.callback(folder.release)
        if state.is_main_process:
            folder.open(source, retry_skipped)
        state.wait_for_everyone()
        stored, skipped = folder.known(source)
        numbers = np.flatnonzero(~(stored | skipped))
        _check_agreement(source, numbers)
        share = numbers[state.process_index :: state.num_processes]
        before = len(source.ids) - len(numbers)
        shown = progress and len(numbers) > 0
        counts = (state.process_index, state.num_processes, len(source.ids), before, shown)
        shared = stack.enter_context(SharedProgress(folder.path, *counts))
        folder.release()
        if len(share):
            shards = RegionShards(folder.path, state.process_index, shard_size, SHARD_SECONDS, features_dtype)
            found = find_regions(source, share, extractor, workers, batch_size, state.device)
            _write(found, source, shards, folder.journal(state.process_index), shared)
        done, skipped_now = shared.wait()
    state.wait_for_everyone()
    report = [
        ExtractionReport(
            folder.path, len(source.ids), done, int(stored.sum()), others=source.others, skipped_now=skipped_now
        )
    ]
    if state.is_main_process:
        report[0].skipped = folder.finish(source)
        report[0].seconds, report[0].processes = time.perf_counter() - started, state.num_processes
        if len(numbers):  # else the report of the run that did it stays
            report[0].save()
    if state.num_processes > 1:
        broadcast_object_list(report)
    return report[0]


def _write(
    found: Iterator[Any], source: ImageSource, shards: RegionShards, journal: Path, shared: SharedProgress
) -> None:
    """Write what is found as it comes; what was found before an error is kept.

    Raises:
        OSError: the first pictures are all unreadable for one reason that is none of theirs; none is listed then.
    """
    held: list[SkippedImage] = []  # the first ones, until one differs

    def list_held() -> None:
        for item in held:
            append_skipped(skipped, item)
        held.clear()

    first = True
    with shards, closing(found), journal.open("a", encoding="utf-8") as skipped:  # type: ignore[type-var]
        if skipped.tell():
            skipped.write("\n")  # a kill may have left half a line
        for item in found:
            if not isinstance(item, BadImage):
                try:
                    shards.add(item.regions)
                    first = False
                    list_held()
                    shared.count(done=1)
                    continue
                except ValueError as error:
                    item = BadImage(item.number, reason_of(error), error)
            image_id, place = source.ids[item.number].as_py(), source.where(item.number)
            first = first and item.reason in OF_THE_MACHINE and (not held or held[0].reason == item.reason)
            held.append(SkippedImage(image_id, place, item.reason, str(item.error)))
            if first and len(held) == FIRST_PICTURES:
                raise OSError(
                    f"The first {len(held)} pictures all give no regions: {item.reason}, such as {printable(place)}. "
                    "Is a disk or network folder missing, or memory short? None was listed as skipped. If only these "
                    "pictures are to blame, take them out of the source."
                )
            if not first:
                list_held()
            shared.count(skipped=1)
        list_held()


def _check_agreement(source: ImageSource, numbers: np.ndarray) -> None:
    """All processes must share the same pictures, or some would be lost."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in np.array_split(numbers, max(1, len(numbers) // 10_000)):
        digest.update("\n".join(source.ids.take(pa.array(batch)).to_pylist()).encode(errors="surrogatepass"))
    if len(set(gather_object([digest.hexdigest()]))) > 1:
        raise RuntimeError(
            "The processes see different images or different files of the store, perhaps because some are being added: "
            "start them again when nothing changes."
        )
