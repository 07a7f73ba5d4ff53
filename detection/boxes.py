"""Boxes as tensors: overlap, regression, clipping. Corners x1, y1, x2, y2 in pixels throughout."""

import math

import numpy as np
import torch

# A box grows at most by this factor in one regression, or exp would overflow.
LARGEST_GROWTH = math.log(1000 / 16)


def overlap(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every box with every other.

    Args:
        boxes: (N, 4).
        others: (M, 4).

    Returns:
        (N, M) in [0, 1]; NaN between two boxes without area.
    """
    areas, other_areas = box_areas(boxes), box_areas(others)
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = (high - low).clamp(min=0)  # (N, M, 2)
    shared = sides[..., 0] * sides[..., 1]
    return shared / (areas[:, None] + other_areas[None] - shared)


def box_areas(boxes: torch.Tensor) -> torch.Tensor:
    """(N,), width times height; no pixel is added."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def regress(
    boxes: torch.Tensor, deltas: torch.Tensor, weights: tuple[float, float, float, float] = (1, 1, 1, 1)
) -> torch.Tensor:
    """Move and scale boxes as a regression says (Girshick et al. 2014, appendix C).

    Args:
        boxes: (..., 4).
        deltas: (..., 4): shift of the centre in widths and heights, then logarithms of the growth of the sides.
        weights: what each of the four was multiplied by in training.

    Returns:
        (..., 4), float32, not clipped.
    """
    boxes, deltas = boxes.float(), deltas.float() / deltas.new_tensor(weights, dtype=torch.float32)
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + 0.5 * sides + deltas[..., :2] * sides
    half = 0.5 * sides * deltas[..., 2:].clamp(max=LARGEST_GROWTH).exp()
    return torch.cat([centres - half, centres + half], dim=-1)


def clip(boxes: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor:
    """Boxes cut at the borders of an image of (height, width) pixels."""
    height, width = image_size
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def beyond_the_first_pixel(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Boxes (R, 4) as `Regions` takes them: all of them in the first pixel would pass for divided by the image's size.

    Then the first one is made two pixels wide and high, as far as the image is.
    """
    if boxes.max() > 1:
        return boxes
    boxes = boxes.copy()
    height, width = image_size
    boxes[0, 2:] = min(width, 2), min(height, 2)
    return boxes
