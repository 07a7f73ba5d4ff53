import math

import numpy as np
import pytest
import torch

from lxmert.detection.roi_pool import pooled_parts, roi_pool


def away_from_zero(value: np.float32) -> int:
    """C's `round`."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), float(value)))


def naive(feature_map: np.ndarray, box: np.ndarray, size: int, scale: float) -> np.ndarray:
    """Cell by cell in Python, edges in single precision; feature_map (C, H, W)."""
    channels, height, width = feature_map.shape
    x1, y1, x2, y2 = (away_from_zero(np.float32(value) * np.float32(scale)) for value in box)
    bin_width = np.float32(max(x2 - x1 + 1, 1)) / np.float32(size)
    bin_height = np.float32(max(y2 - y1 + 1, 1)) / np.float32(size)
    pooled = np.zeros((channels, size, size), feature_map.dtype)
    for row in range(size):
        top = min(max(math.floor(np.float32(row) * bin_height) + y1, 0), height)
        bottom = min(max(math.ceil(np.float32(row + 1) * bin_height) + y1, 0), height)
        for column in range(size):
            left = min(max(math.floor(np.float32(column) * bin_width) + x1, 0), width)
            right = min(max(math.ceil(np.float32(column + 1) * bin_width) + x1, 0), width)
            if bottom > top and right > left:
                pooled[:, row, column] = feature_map[:, top:bottom, left:right].max(axis=(1, 2))
    return pooled


def boxes_of_every_kind(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Random corners, and half cells, points, lines, the whole map, flipped, far outside and negative ones."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [width, height], (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, [width, height], (count, 2))], axis=1)
    boxes[: count // 3] = np.round(boxes[: count // 3] / 8) * 8  # halves of cells, where rounding decides
    special = [
        [0, 0, width, height],
        [5, 5, 5, 5],
        [0, 9, width, 9],
        [30, 30, 10, 10],
        [width + 50, 0, width + 90, 40],
        [-100, -100, -20, -20],
        [-24, -8, 24, 8],
        [8, 8, 24, 24],
        [0.49999997 * 16, 0, 40, 40],
    ]
    return torch.from_numpy(np.concatenate([boxes, special]).astype(np.float32))


@pytest.mark.parametrize(("height", "width", "size"), [(12, 16, 14), (38, 50, 14), (7, 63, 5), (1, 1, 14), (3, 2, 1)])
def test_equal_to_a_loop(height: int, width: int, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    feature_map = torch.randn(1, 3, height, width, generator=generator)
    boxes = boxes_of_every_kind(90, height * 16, width * 16, seed=height)
    pooled = roi_pool(feature_map, boxes, torch.zeros(len(boxes), dtype=torch.long), size, 1 / 16)
    for box, found in zip(boxes.numpy(), pooled.numpy(), strict=True):
        np.testing.assert_array_equal(found, naive(feature_map[0].numpy(), box, size, 1 / 16), err_msg=str(box))


def test_boxes_find_their_image_and_parts_join_to_the_whole() -> None:
    feature_map = torch.randn(3, 4, 9, 11, generator=torch.Generator().manual_seed(1))
    boxes = boxes_of_every_kind(31, 9 * 16, 11 * 16, seed=2)
    images = torch.arange(len(boxes)) % 3
    pooled = roi_pool(feature_map, boxes, images, 7, 1 / 16)
    for box, image, found in zip(boxes.numpy(), images.tolist(), pooled.numpy(), strict=True):
        np.testing.assert_array_equal(found, naive(feature_map[image].numpy(), box, 7, 1 / 16))
    parts = list(pooled_parts(feature_map, boxes, images, 7, 1 / 16, part=16))
    assert [len(part) for part in parts] == [16, 16, 8]
    assert torch.equal(torch.cat(parts), pooled)


def test_no_boxes_give_no_regions() -> None:
    pooled = roi_pool(torch.randn(1, 4, 5, 5), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 3, 1 / 16)
    assert pooled.shape == (0, 4, 3, 3)


def test_the_gradient_goes_to_the_largest_cell() -> None:
    feature_map = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    roi_pool(feature_map, torch.tensor([[0.0, 0, 48, 48]]), torch.tensor([0]), 1, 1 / 16).sum().backward()
    assert feature_map.grad is not None
    assert feature_map.grad.flatten().nonzero().tolist() == [[15]]


def test_torchvision_agrees_where_it_loads() -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision's compiled operators are not installed")
    feature_map = torch.randn(2, 8, 38, 50, generator=torch.Generator().manual_seed(0))
    boxes = boxes_of_every_kind(400, 600, 800, seed=0)
    images = torch.arange(len(boxes)) % 2
    expected = ops.roi_pool(feature_map, torch.cat([images[:, None].float(), boxes], dim=1), 14, 1 / 16)
    assert torch.equal(roi_pool(feature_map, boxes, images, 14, 1 / 16), expected)
