"""A picture ready for a network."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What `RegionExtractor.prepare` gives where a network finds the regions.

    Args:
        pixel_values: (3, h, w), float32, as the network takes them.
        image_size: (height, width) in pixels of the picture before it was resized.
    """

    pixel_values: torch.Tensor
    image_size: tuple[int, int]
