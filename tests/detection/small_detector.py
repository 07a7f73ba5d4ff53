"""A Faster R-CNN small enough for tests, whose scores and boxes still differ from region to region."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lxmert import FasterRcnnConfig, FasterRcnnForRegionFeatures
from lxmert.detection import FasterRcnnImageProcessor

OBJECTS = ("cat", "dog", "car", "tree", "house")
ATTRIBUTES = ("red", "big", "old")


def small_config(**overrides: Any) -> FasterRcnnConfig:
    """Narrow and shallow, with few proposals."""
    sizes: dict[str, Any] = {
        "embedding_size": 8,
        "hidden_sizes": [16, 16, 16, 24],
        "depths": [1, 1, 2, 1],
        "anchor_sizes": [16, 32],
        "rpn_hidden_size": 12,
        "rpn_candidates": 400,
        "rpn_proposals": 40,
        "roi_pool_size": 5,
        "num_objects": len(OBJECTS),
        "num_attributes": len(ATTRIBUTES),
        "class_embedding_size": 6,
        "attribute_hidden_size": 10,
        "min_boxes": 6,
        "max_boxes": 8,
    }
    return FasterRcnnConfig(**(sizes | overrides))


def small_detector(**overrides: Any) -> FasterRcnnForRegionFeatures:
    """The same weights in every test, large enough for regions to differ."""
    torch.manual_seed(0)
    model = FasterRcnnForRegionFeatures(small_config(initializer_range=0.3, **overrides)).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.3)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
        model.backbone.stem.conv1.weight *= 0.02  # pixels are large
        model.proposal_generator.rpn_head.anchor_deltas.weight *= 0.1
    return model


def save_small_detector(folder: Path, **overrides: Any) -> str:
    """Model and image processor in one folder."""
    small_detector(**overrides).save_pretrained(folder)
    FasterRcnnImageProcessor(shorter_side=64, longer_side=96).save_pretrained(folder)
    return str(folder)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """A picture of coarse coloured noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
