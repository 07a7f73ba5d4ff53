"""What a format's name means."""

from pathlib import Path

import numpy as np
import pytest

from lxmert import Regions
from lxmert.processing import BottomUpFile, RegionFiles
from lxmert.processing.region_export import check_export, export_regions

REGIONS = {"a": Regions(np.full((2, 3), 1 / 3), [[0, 0, 5, 6]] * 2, (9, 9), image_id="a")}


def test_a_name_chooses_the_writer(tmp_path: Path) -> None:
    export_regions(REGIONS, tmp_path / "a.tsv", "tsv", "float16")
    (tsv,) = BottomUpFile(tmp_path / "a.tsv", progress=False).values()
    assert tsv.features.tolist() == REGIONS["a"].features.tolist()
    assert tsv.object_ids.tolist() == [-1, -1]
    export_regions(REGIONS, tmp_path / "files", "npz", "float16")
    assert RegionFiles(tmp_path / "files")["a"].features[0, 0] == np.float16(1 / 3)


def test_a_name_chooses_the_check(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty or holds a tab, line break or quote"):
        check_export(['"'], tmp_path / "a.tsv", "tsv")
    (tmp_path / "file").touch()
    check_export(['"'], tmp_path / "files", "safetensors")
    with pytest.raises(FileExistsError, match="holds other things"):
        check_export(['"'], tmp_path, "safetensors")
