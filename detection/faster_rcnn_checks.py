"""What the Faster R-CNN is given, checked; values only where a look at them makes no GPU wait."""

from collections.abc import Sequence
from typing import Any

import torch

ImageSizes = torch.Tensor | Sequence[tuple[int, int]]


def checked_sizes(pixel_values: torch.Tensor, image_sizes: ImageSizes) -> list[tuple[int, int]]:
    """The sizes as B pairs (height, width).

    Raises:
        ValueError: pictures of another shape or with values that are not finite, or sizes that do not fit them.
    """
    if not isinstance(pixel_values, torch.Tensor) or pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
        came = tuple(pixel_values.shape) if hasattr(pixel_values, "shape") else type(pixel_values).__name__
        raise ValueError(f"pixel_values must be a tensor (B, 3, H, W), got {came}.")
    if not len(pixel_values):
        raise ValueError("pixel_values holds no image.")
    if pixel_values.device.type == "cpu" and not torch.isfinite(pixel_values).all():
        raise ValueError("pixel_values holds NaN or infinite values: check the picture or how it was prepared.")
    try:
        rows = [tuple(map(float, row)) for row in torch.as_tensor(image_sizes).tolist()]
        sizes = [(int(height), int(width)) for height, width in rows]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"image_sizes must be (height, width) for each image, got {image_sizes!r:.80}.") from error
    if len(sizes) != len(pixel_values):
        raise ValueError(
            f"image_sizes has {len(sizes)} rows for {len(pixel_values)} images: give height, width of each."
        )
    for (height, width), row in zip(sizes, rows, strict=True):
        if (height, width) != row:
            raise ValueError(f"image_sizes must be whole numbers of pixels, got {row}.")
        if not (1 <= height <= pixel_values.shape[2] and 1 <= width <= pixel_values.shape[3]):
            raise ValueError(
                f"image_sizes has {height} x {width} (height x width), but pixel_values are "
                f"{pixel_values.shape[2]} x {pixel_values.shape[3]}."
            )
    return sizes


def checked_scales(scales_yx: Any, count: int) -> torch.Tensor:
    """The scales as (B, 2), float32, on the CPU; ones where none are given.

    Raises:
        ValueError: another shape, half precision, or values that are no scales.
    """
    if scales_yx is None:
        return torch.ones(count, 2)
    scales = torch.as_tensor(scales_yx)
    if scales.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"scales_yx must be float32, got {scales.dtype}, which moves boxes by pixels: give the model's dtype to "
            "pixel_values alone; the model converts them by itself, too."
        )
    scales = scales.to("cpu", torch.float32)
    if scales.shape != (count, 2):
        raise ValueError(f"scales_yx must be ({count}, 2), a pair for each image, got {tuple(scales.shape)}.")
    if not (torch.isfinite(scales) & (scales > 0)).all():
        raise ValueError(f"scales_yx must be original size / size here, finite and above 0, got {scales.tolist()}.")
    return scales


def checked_boxes(boxes: Any, number: int) -> torch.Tensor:
    """One image's boxes as (R, 4).

    Raises:
        ValueError: another shape, values that are not finite, boxes turned inside out or divided by the image's size.
    """
    boxes = torch.as_tensor(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be tensors (R, 4), got {tuple(boxes.shape)} as number {number}.")
    if boxes.device.type == "cpu" and len(boxes):  # a look at values would make a GPU wait
        if not torch.isfinite(boxes).all():
            raise ValueError(f"boxes number {number} hold NaN or infinite values.")
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ValueError(f"boxes number {number} must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2.")
        if boxes.max() <= 1:
            raise ValueError(
                f"boxes number {number} must be in pixels, but all lie below 1, as if divided by the size."
            )
    return boxes
