"""RoI max pooling without compiled operators (Girshick 2015, section 2.1)."""

from collections.abc import Iterator

import torch


def roi_pool(
    feature_map: torch.Tensor, boxes: torch.Tensor, batch_indices: torch.Tensor, size: int, scale: float
) -> torch.Tensor:
    """The maximum of a feature map in each cell of a grid over each box.

    Exact, with the rules of the Caffe code and of torchvision: corners are rounded to cells of the map (halves away
    from zero), a box covers its last cell, cells of the grid may share cells of the map, and an empty one gives 0.

    Args:
        feature_map: (B, C, H, W).
        boxes: (R, 4), corners x1, y1, x2, y2 in pixels of the input.
        batch_indices: (R,), int64, the image that each box belongs to.
        size: cells each way.
        scale: cells of the feature map in a pixel, such as 1 / 16.

    Returns:
        (R, C, size, size), channels last in memory.
    """
    parts = list(pooled_parts(feature_map, boxes, batch_indices, size, scale, max(len(boxes), 1)))
    return torch.cat(parts) if parts else feature_map.new_zeros(0, feature_map.shape[1], size, size)


def pooled_parts(
    feature_map: torch.Tensor,
    boxes: torch.Tensor,
    batch_indices: torch.Tensor,
    size: int,
    scale: float,
    part: int,
) -> Iterator[torch.Tensor]:
    """`roi_pool` for `part` boxes at a time.

    A rectangle's maximum is that of four overlapping windows whose sides are powers of two. The maxima of all windows
    of the few sizes that occur are made once, by doubling; each cell of a grid then takes four rows of that table.
    """
    batch, channels, height, width = feature_map.shape
    x_start, x_stop = _bins(boxes[:, 0], boxes[:, 2], size, scale, width)  # (R, size) each
    y_start, y_stop = _bins(boxes[:, 1], boxes[:, 3], size, scale, height)
    x_level, y_level = _level(x_start, x_stop), _level(y_start, y_stop)
    y_levels, x_levels = (int(level.max()) + 1 if level.numel() else 1 for level in (y_level, x_level))
    windows = _window_maxima(feature_map.permute(0, 2, 3, 1), y_levels, x_levels)  # (levels, B, H, W, C)
    table = windows.flatten(0, 3)  # one row of channels for each window

    # Of each row and column of the grid the first and the last window, as summands of a row number in the table.
    y_base = (y_level * x_levels * batch + batch_indices[:, None]) * height
    y_rows = [(y_base + y) * width for y in (y_start, y_stop - 2**y_level)]  # (R, size) each
    x_rows = [x_level * (batch * height * width) + x for x in (x_start, x_stop - 2**x_level)]
    empty = (y_stop <= y_start)[:, :, None] | (x_stop <= x_start)[:, None, :]  # (R, size, size)
    for first in range(0, len(boxes), part):
        own = slice(first, first + part)
        corners = [(y[own, :, None] + x[own, None, :]).masked_fill(empty[own], 0) for y in y_rows for x in x_rows]
        pooled = table.index_select(0, corners[0].flatten())  # (r * size * size, C)
        for corner in corners[1:]:
            pooled = torch.maximum(pooled, table.index_select(0, corner.flatten()))
        pooled = pooled.masked_fill(empty[own].flatten()[:, None], 0)
        yield pooled.view(-1, size, size, channels).permute(0, 3, 1, 2)


def _bins(
    low: torch.Tensor, high: torch.Tensor, size: int, scale: float, limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """First cell and the cell behind the last of each of `size` bins along one axis; (R, size), int64."""
    start, stop = _rounded(low.float() * scale), _rounded(high.float() * scale)
    length = (stop - start + 1).clamp(min=1)
    bin_length = length.float() / size  # single precision decides where an edge falls
    edges = torch.arange(size + 1, device=low.device, dtype=torch.float32)[None] * bin_length[:, None]
    first = edges[:, :-1].floor().long() + start[:, None]
    behind = edges[:, 1:].ceil().long() + start[:, None]
    return first.clamp(0, limit), behind.clamp(0, limit)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Halves go away from zero, as in C; double precision keeps 0.49999997 below a half."""
    values = values.double()
    return (values.sign() * (values.abs() + 0.5).floor()).long()


def _level(start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Logarithm of the largest power of two that fits between."""
    return ((stop - start).clamp(min=1).float()).log2().floor().long()


def _window_maxima(cells: torch.Tensor, y_levels: int, x_levels: int) -> torch.Tensor:
    """Maxima of the windows of 2**i x 2**j cells that begin at each cell, for i < y_levels and j < x_levels.

    Args:
        cells: (B, H, W, C).

    Returns:
        (y_levels * x_levels, B, H, W, C); a window that reaches over the border holds the part inside.
    """
    windows = []
    rows = cells
    for y_level in range(y_levels):
        if y_level:
            rows = _doubled(rows, 2 ** (y_level - 1), dim=1)
        both = rows
        for x_level in range(x_levels):
            if x_level:
                both = _doubled(both, 2 ** (x_level - 1), dim=2)
            windows.append(both)
    return torch.stack(windows)


def _doubled(windows: torch.Tensor, reach: int, dim: int) -> torch.Tensor:
    """Maxima of windows twice as long, from windows of the length `reach`."""
    length = windows.shape[dim]
    if length <= reach:
        return windows
    longer = torch.maximum(windows.narrow(dim, 0, length - reach), windows.narrow(dim, reach, length - reach))
    return torch.cat([longer, windows.narrow(dim, length - reach, reach)], dim)
