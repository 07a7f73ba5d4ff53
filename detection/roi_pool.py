"""RoI max pooling without compiled operators (Girshick 2015, section 2.1)."""

import torch


def roi_pool(
    feature_map: torch.Tensor, boxes: torch.Tensor, batch_indices: torch.Tensor, size: int, scale: float
) -> torch.Tensor:
    """The maximum of a feature map in each cell of a grid over each box.

    Exact, with the rules of the Caffe code and of torchvision: corners are rounded to cells of the map (halves away from
    zero), a box covers its last cell, cells of the grid may share cells of the map, and an empty one gives 0.

    A rectangle's maximum is that of four overlapping windows whose sides are powers of two; the maxima of all windows of
    the few sizes that occur are made once, by doubling.

    Args:
        feature_map: (B, C, H, W).
        boxes: (R, 4), corners x1, y1, x2, y2 in pixels of the input.
        batch_indices: (R,), int64, the image that each box belongs to.
        size: cells each way.
        scale: cells of the feature map in a pixel, such as 1 / 16.

    Returns:
        (R, C, size, size), channels last in memory.
    """
    batch, channels, height, width = feature_map.shape
    x_start, x_stop = _bins(boxes[:, 0], boxes[:, 2], size, scale, width)  # (R, size) each
    y_start, y_stop = _bins(boxes[:, 1], boxes[:, 3], size, scale, height)
    x_level, y_level = _level(x_start, x_stop), _level(y_start, y_stop)
    levels = [int(level.max()) + 1 if level.numel() else 1 for level in (y_level, x_level)]
    windows = _window_maxima(feature_map.permute(0, 2, 3, 1), levels[0], levels[1])  # (levels, B, H, W, C)
    table = windows.flatten(0, 3)  # one row of channels for each window

    # Of each row and column of the grid the first and the last window, as parts of a row number in the table.
    y_base = (y_level * levels[1] * batch + batch_indices[:, None]) * height
    y_first, y_last = y_base + y_start, y_base + y_stop - 2**y_level
    x_base = x_level * batch * height
    x_first, x_last = x_base * width + x_start, x_base * width + x_stop - 2**x_level
    pooled = None
    for y in (y_first, y_last):
        for x in (x_first, x_last):
            rows = (y * width)[:, :, None] + x[:, None, :]  # (R, size, size)
            window = table.index_select(0, rows.clamp(0, len(table) - 1).flatten())
            pooled = window if pooled is None else torch.maximum(pooled, window)
    empty = (y_stop <= y_start)[:, :, None] | (x_stop <= x_start)[:, None, :]  # (R, size, size)
    assert pooled is not None
    pooled = pooled.masked_fill(empty.flatten()[:, None], 0)
    return pooled.view(len(boxes), size, size, channels).permute(0, 3, 1, 2)


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
