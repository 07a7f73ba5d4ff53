"""All regions in one table on a device, so that batches bring the numbers of rows instead of features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from lxmert.processing.id_index import IdIndex
from lxmert.processing.joined_regions import JoinedRegions
from lxmert.processing.region_rows import FeaturesType, check_features_type, stored_features
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import NO_LABEL, Regions, RegionSource

NOTHING = 0  # the row of padding and of regions whose features are withheld: features 0, box 0, no labels
KINDS = ("object", "attribute")  # of labels
IMAGES_AT_ONCE = 256
BOX_BYTES, LABEL_BYTES = 16, 8  # of a region: four float32; an int32 with a float32 for each kind


class RegionPlaces:
    """Where the regions of each image lie in a table; the part of it that processes need which make batches.

    Args:
        image_ids: of I images, all different.
        counts: (I,), their numbers of regions, which lie one after the other from row 1.
        feature_dim: width of the features.
    """

    def __init__(self, image_ids: Sequence[str], counts: np.ndarray, feature_dim: int):
        self.feature_dim = feature_dim
        self._index = IdIndex(pa.chunked_array([pa.array(image_ids, pa.string())]))
        self._bounds = NOTHING + 1 + np.concatenate([[0], np.cumsum(counts)])  # (I + 1,)

    def __len__(self) -> int:
        return len(self._index)

    def many(self, image_ids: Sequence[str]) -> list[np.ndarray]:
        """Of each image the rows (R,) of its regions, int64.

        Raises:
            KeyError: an image that is not in the table.
        """
        found = []
        for image_id in image_ids:
            if (place := self._index.find(image_id)) is None:
                raise KeyError(f"Image {image_id!r} is not among the {len(self)} images of the table of regions.")
            found.append(np.arange(self._bounds[place], self._bounds[place + 1]))
        return found


def pad_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of B images as (B, R), 0 behind the shorter ones."""
    padded = np.full((len(rows), max(map(len, rows))), NOTHING, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


@dataclass(frozen=True)
class RegionTable:
    """The regions of many images as tensors on a device, one region a row; row 0 stands for nothing.

    Args:
        places: which rows are whose.
        features: (N, D), float16 or float32.
        boxes: (N, 4), float32, in [0, 1].
        labels: for "object" and "attribute" the detector's classes (N,), int32, -1 for none, and their confidences
            (N,), float32; see `labels_of`.
    """

    places: RegionPlaces
    features: torch.Tensor
    boxes: torch.Tensor
    labels: dict[str, tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def load(
        cls,
        regions: RegionSource,
        image_ids: Sequence[str],
        device: torch.device | str = "cpu",
        features_dtype: FeaturesType = "float16",
        progress: bool = True,
    ) -> "RegionTable":
        """Read the regions of some images once. The paper's 180,000 images take 26.7 GB in float16.

        How many regions there are is looked up first, in a `RegionStore` by a look at a column; other sources are
        read twice for it.

        Args:
            regions: of all these images.
            image_ids: which to load.
            device: where to.
            features_dtype: "float16" takes half the memory, "float32" rounds nothing.
            progress: show bars with the memory that is taken and the time left.

        Raises:
            ValueError: no image, another type, less memory on the device than the table takes, features beyond float16
                or of different widths.
            KeyError: an image without regions.
        """
        check_features_type(features_dtype)
        image_ids, device = list(dict.fromkeys(image_ids)), torch.device(device)
        if not image_ids:
            raise ValueError("image_ids is empty: name the images whose regions are to be loaded.")
        width = regions[image_ids[0]].features.shape[1]
        counts = region_counts(regions, image_ids, progress)
        table = cls._empty(RegionPlaces(image_ids, counts, width), int(counts.sum()), device, features_dtype)
        description = f"Loading regions, {table.nbytes / 1e9:,.2f} GB in {features_dtype} on {device}"
        with tqdm(total=len(image_ids), desc=description, unit=" images", disable=not progress) as bar:
            for start in range(0, len(image_ids), IMAGES_AT_ONCE):
                part = image_ids[start : start + IMAGES_AT_ONCE]
                table._put(part, regions.many(part))
                bar.update(len(part))
        return table

    @classmethod
    def _empty(cls, places: RegionPlaces, regions: int, device: torch.device, features_dtype: str) -> "RegionTable":
        """Without regions yet, if the device has room for it."""
        dtype, rows, width = getattr(torch, features_dtype), NOTHING + 1 + regions, places.feature_dim
        needed, free = rows * (width * dtype.itemsize + BOX_BYTES + len(KINDS) * LABEL_BYTES), free_memory(device)
        if needed > free:
            half = " load them in float16," if dtype == torch.float32 else ""
            raise ValueError(
                f"{regions:,} regions of {len(places):,} images take {needed / 1e9:,.2f} GB in {features_dtype}, but "
                f"{device} has {free / 1e9:,.2f} GB free:{half} take a device with more memory, or leave the regions "
                "where they are."
            )
        return cls(
            places,
            features=torch.zeros(rows, width, dtype=dtype, device=device),
            boxes=torch.zeros(rows, 4, device=device),
            labels={
                kind: (
                    torch.full((rows,), NO_LABEL, dtype=torch.int32, device=device),
                    torch.zeros(rows, device=device),
                )
                for kind in KINDS
            },
        )

    def _put(self, image_ids: Sequence[str], regions: Sequence[Regions]) -> None:
        """Write the regions of some images, whose rows follow one another."""
        rows = self.places.many(image_ids)
        for image_id, row, item in zip(image_ids, rows, regions, strict=True):
            if item.features.shape != (len(row), self.places.feature_dim):
                raise ValueError(
                    f"Image {image_id!r} has features of the shape {item.features.shape}, expected are "
                    f"{(len(row), self.places.feature_dim)}: take regions of one detector, which nobody changes."
                )
        target = slice(rows[0][0], rows[-1][-1] + 1)
        dtype = str(self.features.dtype).removeprefix("torch.")

        def write(tensor: torch.Tensor, parts: Sequence[np.ndarray]) -> None:
            tensor[target] = torch.from_numpy(np.concatenate(parts)).to(tensor.device)

        write(self.features, [stored_features(item, dtype) for item in regions])
        write(self.boxes, [item.normalized_boxes for item in regions])
        for kind, (classes, confidences) in self.labels.items():
            labels = [labels_of(item, kind) for item in regions]
            write(classes, [ids for ids, _ in labels])
            write(confidences, [scores for _, scores in labels])

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in (self.features, self.boxes, *sum(self.labels.values(), ())))

    def features_at(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., D), float32, of rows (...)."""
        return F.embedding(rows, self.features).float()

    def inputs(self, rows: torch.Tensor, shown: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`visual_feats`, `visual_pos` and `visual_attention_mask`, as the processor gives them.

        Args:
            rows: (..., R), of the regions, 0 for padding.
            shown: (..., R), rows whose features are shown in their place; 0 shows zeros.
        """
        return {
            "visual_feats": self.features_at(rows if shown is None else shown),
            "visual_pos": F.embedding(rows, self.boxes),
            "visual_attention_mask": (rows != NOTHING).long(),
        }

    def labels_at(self, rows: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Detected classes (...), int64, and their confidences (...), of rows (...); `kind` is one of `KINDS`."""
        classes, confidences = self.labels[kind]
        return classes[rows].long(), confidences[rows]


def labels_of(regions: Regions, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Detected classes (R,), -1 where there is none, and their confidences (R,), 1 where no score is known.

    Args:
        regions: of one image. Without classes, the confidences are 0.
        kind: "object" or "attribute".
    """
    ids, scores = getattr(regions, f"{kind}_ids"), getattr(regions, f"{kind}_scores")
    if ids is None:
        return np.full(len(regions), NO_LABEL, dtype=np.int64), np.zeros(len(regions), dtype=np.float32)
    return ids, np.ones(len(regions), dtype=np.float32) if scores is None else scores


def region_counts(regions: RegionSource, image_ids: Sequence[str], progress: bool = True) -> np.ndarray:
    """(I,), the number of regions of each image.

    Args:
        regions: where they are; of stores only lengths are read.
        image_ids: of I images.
        progress: show a bar with time left while others are read.

    Raises:
        KeyError: an image without regions.
    """
    known: dict[str, int] = {}
    for part in regions.parts if isinstance(regions, JoinedRegions) else (regions,):
        if isinstance(part, RegionStore):
            sizes = pc.divide(pc.binary_length(part.dataset.data.column("boxes")), BOX_BYTES).to_pylist()
            known |= zip(part, sizes, strict=True)
    rest = [image_id for image_id in image_ids if image_id not in known]
    for start in tqdm(
        range(0, len(rest), IMAGES_AT_ONCE),
        desc="Counting regions",
        unit=f" x {IMAGES_AT_ONCE} images",
        disable=not progress or not rest,
    ):
        part_ids = rest[start : start + IMAGES_AT_ONCE]
        known |= zip(part_ids, map(len, regions.many(part_ids)), strict=True)
    return np.array([known[image_id] for image_id in image_ids], dtype=np.int64)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; of a CPU what the system can give without swapping."""
    if device.type in ("cpu", "mps"):  # mps shares the system's
        return int(psutil.virtual_memory().available)
    return int(torch.accelerator.get_memory_info(device)[0])
