"""Non-maximum suppression without compiled operators: of boxes that overlap too much only the best stays."""

import torch

from lxmert.detection.boxes import overlap

# Boxes compared at once: few enough for their overlaps to stay in cache, many enough to be worth a kernel.
BLOCK = 512


def suppress(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, limit: int | None = None) -> torch.Tensor:
    """Go through boxes from the best to the worst; drop one that overlaps a kept one more than `threshold`.

    Exact. Boxes are taken block by block. What earlier blocks kept drops a block's boxes in one comparison; inside the
    block "kept unless a kept better one overlaps" is applied until nothing changes, which has one fixed point.

    Args:
        boxes: (N, 4).
        scores: (N,); of equal ones the first counts as better.
        threshold: largest intersection over union that two kept boxes may have.
        limit: stop when that many are kept.

    Returns:
        (K,), indices of the kept boxes, best first.
    """
    order = scores.sort(descending=True, stable=True).indices
    boxes = boxes[order].float()
    kept = order.new_empty(0)
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        free = ~(overlap(block, boxes[kept]) > threshold).any(dim=1)  # (n,)
        drops = (overlap(block, block) > threshold).triu(1)  # (n, n), row is better than column
        keep = free
        while not torch.equal(keep, again := free & ~(drops & keep[:, None]).any(dim=0)):
            keep = again
        kept = torch.cat([kept, start + keep.nonzero()[:, 0]])
        if limit is not None and len(kept) >= limit:
            break
    return order[kept[:limit]]


def suppress_in_every_class(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """`suppress` for each of C classes by itself, for all of them at once: one step for each rank.

    Args:
        boxes: (N, 4), the same for every class.
        scores: (N, C).
        threshold: as in `suppress`.

    Returns:
        (N, C), whether a box is kept in a class.
    """
    count, classes = scores.shape
    order = scores.sort(dim=0, descending=True, stable=True).indices  # (N, C)
    overlaps = overlap(boxes.float(), boxes.float()) > threshold  # (N, N)
    every = torch.arange(classes, device=boxes.device)
    dropped = torch.zeros(classes, count, dtype=torch.bool, device=boxes.device)
    kept = torch.zeros_like(dropped)
    for candidates in order:  # (C,), in each class the next best
        keep = ~dropped[every, candidates]
        kept[every, candidates] = keep
        # Better boxes are marked again, which changes nothing: what is kept was noted above.
        dropped |= overlaps[candidates] & keep[:, None]
    return kept.T
