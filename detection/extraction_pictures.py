"""A few pictures with their regions, to see whether an extraction found what it should."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from lxmert.detection.image_sources import ImageSource
from lxmert.processing.regions import Regions


def draw_extracted(
    source: ImageSource, regions: Mapping[str, Regions], folder: str | Path, count: int, progress: bool = True
) -> list[Path]:
    """Draw the regions of some pictures, taken evenly from all that have any. Needs matplotlib.

    Args:
        source: of the pictures.
        regions: what was found in them, such as a `RegionStore`.
        folder: where the drawings go, one PNG a picture, named by number and image id.
        count: how many.
        progress: show a bar with time left.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids = source.ids.to_pylist()
    found = [number for number, image_id in enumerate(ids) if image_id in regions]
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]
    files = []
    for number in tqdm(chosen, desc="Drawing", unit=" pictures", disable=not progress):
        name = "".join(character if character.isalnum() or character in "-_." else "_" for character in ids[number])
        files.append(folder / f"{number:07d}-{name[-80:]}.png")
        figure = regions[ids[number]].plot(source[number]).get_figure(root=True)
        assert figure is not None
        figure.savefig(files[-1])
    return files
