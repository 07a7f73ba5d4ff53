"""Regions into a file as the original reads them; `bottom_up` describes the fields."""

import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from lxmert.processing.bottom_up import LABELS
from lxmert.processing.record_tables import check_is_free, printable, write_whole
from lxmert.processing.regions import NO_LABEL, Regions


def check_bottom_up_target(path: str | Path, image_ids: Iterable[str]) -> None:
    """See whether `write_bottom_up_file` can write images there, before their regions are found.

    Raises:
        FileExistsError: a folder of that name, or a file in place of a folder above.
        ValueError: an image id that a TSV file cannot hold.
    """
    path = Path(path)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: choose another name for the file.")
    check_is_free(path.parent)
    for image_id in image_ids:
        _check_id(image_id)


def write_bottom_up_file(
    regions: Mapping[str, Regions], path: str | Path, fill_labels: bool = False, progress: bool = True
) -> None:
    """Write regions to a TSV file of the original's format, byte for byte as the original's own tool wrote it.

    The format has no place for names of classes, and none for absent labels. With `fill_labels` ids that are absent
    become -1, which the original's losses leave out; absent scores become 1 where there are ids, as this package
    weighs them, else 0.

    Args:
        regions: regions by image id, such as a `RegionStore`.
        path: of the file; it appears, or replaces an older one, when all rows are written.
        fill_labels: write regions without labels, too.
        progress: show a bar with images per second and time left.

    Raises:
        ValueError: regions without labels, unless they are to be filled, or an image id with a tab or line break.
    """
    path = Path(path)

    def write(work: Path) -> None:
        description = f"Writing {printable(path.name)}"
        bar = tqdm(regions, total=len(regions), desc=description, unit=" images", disable=not progress)
        with work.open("wb") as file:
            for image_id in bar:
                file.write(_to_line(image_id, regions[image_id], fill_labels))

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


def _check_id(image_id: str) -> None:
    if not image_id or any(character in image_id for character in '\t\r\n"'):
        raise ValueError(
            f"Image id {image_id!r} is empty or holds a tab, line break or quote: a TSV file cannot hold it."
        )


def _to_line(image_id: str, regions: Regions, fill_labels: bool) -> bytes:
    _check_id(image_id)
    labels = [_label_field(image_id, regions, name, dtype, fill_labels) for name, dtype in LABELS.values()]
    arrays = [_encoded(regions.boxes, "<f4"), _encoded(regions.features, "<f4")]
    start = [image_id.encode(), *(str(side).encode() for side in regions.image_size)]
    return b"\t".join([*start, *labels, str(len(regions)).encode(), *arrays]) + b"\r\n"


def _label_field(image_id: str, regions: Regions, name: str, dtype: str, fill: bool) -> bytes:
    if (values := getattr(regions, name)) is None:
        if not fill:
            raise ValueError(
                f"Regions of image {image_id!r} have no {name}, which a TSV file must hold: pass fill_labels=True to "
                f"write {NO_LABEL} for ids, or write a region store or region files instead."
            )
        has_ids = getattr(regions, name.replace("scores", "ids")) is not None
        values = np.full(len(regions), NO_LABEL if name.endswith("ids") else int(has_ids))
    return _encoded(values, dtype)


def _encoded(values: np.ndarray, dtype: str) -> bytes:
    return binascii.b2a_base64(values.astype(dtype).tobytes(), newline=False)
