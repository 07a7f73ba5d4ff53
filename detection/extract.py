"""From many pictures to a region store."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from lxmert.processing.region_extractor import ImageInput, RegionExtractor
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import Regions


def extract_regions(
    images: Mapping[str, ImageInput], extractor: RegionExtractor, path: str | Path, progress: bool = True
) -> tuple[RegionStore, bool]:
    """Find the regions of every image and store them, or reuse the store if it holds just these.

    Args:
        images: pictures by image id.
        extractor: finds the regions.
        path: folder of the store.
        progress: show a bar with images per second and time left.

    Returns:
        The store, and whether it was there already.

    Raises:
        ValueError: no image, or an image id that is no string.
        FileExistsError: another store, or something else, is at `path`.
    """
    if not images or not all(isinstance(image_id, str) for image_id in images):
        raise ValueError("images must be pictures by image id, at least one, and every id a string.")
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
        for image_id, image in tqdm(images.items(), desc="Regions", unit=" images", disable=not progress):
            yield replace(extractor(image)[0], image_id=image_id)

    return RegionStore.create(path, found(), description), False
