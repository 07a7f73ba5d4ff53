"""Regions written for other tools, in the format that a person names."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from lxmert.processing.bottom_up_writer import check_bottom_up_target, write_bottom_up_file
from lxmert.processing.region_files import check_region_files_target, write_region_files
from lxmert.processing.region_rows import FeaturesType
from lxmert.processing.regions import Regions

ExportFormat = Literal["tsv", "safetensors", "npz"]


def check_export(
    image_ids: Iterable[str], path: str | Path, file_format: ExportFormat, features_dtype: FeaturesType = "float32"
) -> None:
    """See whether `export_regions` can write these images there, before their regions are found.

    Raises:
        FileExistsError: something else at `path`.
        ValueError: an image id that the format cannot hold.
    """
    if file_format == "tsv":
        check_bottom_up_target(path, image_ids)
    else:
        check_region_files_target(path, file_format, features_dtype)


def export_regions(
    regions: Mapping[str, Regions],
    path: str | Path,
    file_format: ExportFormat,
    features_dtype: FeaturesType = "float32",
) -> None:
    """Write regions in a format.

    Args:
        regions: regions by image id, such as a `RegionStore`.
        path: of the file, or of the folder of files.
        file_format: "tsv" is the original's, -1 and 0 for absent labels; the others have a file for each image.
        features_dtype: type that features are stored in; in a TSV file it is always float32.

    Raises:
        FileExistsError, ValueError: as `write_bottom_up_file` and `write_region_files`.
    """
    if file_format == "tsv":
        write_bottom_up_file(regions, path, fill_labels=True)
    else:
        write_region_files(regions, path, file_format, features_dtype)
