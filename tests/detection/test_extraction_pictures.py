from pathlib import Path

import numpy as np
from PIL import Image

from lxmert import ComponentRegionExtractor
from lxmert.detection import extract_regions
from lxmert.detection.extraction_pictures import draw_extracted
from lxmert.detection.image_sources import ImageMapping


def test_pictures_are_taken_evenly_and_drawn_with_their_boxes(tmp_path: Path) -> None:
    images = {f"set/{i}": Image.new("RGB", (40 + i, 30), "white") for i in range(9)}
    images["set/4"].paste("red", (5, 5, 25, 25))
    source = ImageMapping(images)
    store, _ = extract_regions(
        {name: image for name, image in images.items() if name != "set/0"},
        ComponentRegionExtractor(crop_size=2),
        tmp_path / "store",
        progress=False,
    )
    files = draw_extracted(source, store, tmp_path / "pictures", 3, progress=False)
    assert [file.name for file in files] == ["0000001-set_1.png", "0000004-set_4.png", "0000008-set_8.png"]
    plain, boxed = (np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3) for file in files[:2])
    assert (boxed == [255, 0, 0]).all(axis=1).mean() > 0.2
    assert not (plain == [255, 0, 0]).all(axis=1).any()
    assert len(draw_extracted(source, store, tmp_path / "all", 99, progress=False)) == 8
    assert draw_extracted(source, {}, tmp_path / "none", 2, progress=False) == []
