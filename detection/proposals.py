"""The region proposal network (Ren et al. 2015, section 3.1): where an object may be."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lxmert.configuration import FasterRcnnConfig
from lxmert.detection.boxes import clip, regress
from lxmert.detection.resnet import STRIDE
from lxmert.detection.suppression import suppress


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> torch.Tensor:
    """Boxes (sizes x ratios, 4) around the point 0, 0, ratios of one size side by side.

    Args:
        sizes: square roots of the areas in pixels.
        ratios: height / width.
    """
    half = [(0.5 * math.sqrt(size**2 / ratio), 0.5 * math.sqrt(size**2 * ratio)) for size in sizes for ratio in ratios]
    return torch.tensor([(-width, -height, width, height) for width, height in half])


class CellAnchors(nn.Module):
    """Holds the anchors of one cell under the name that the checkpoint has for them."""

    def __init__(self, anchors: torch.Tensor):
        super().__init__()
        self.register_buffer("0", anchors)


class AnchorGenerator(nn.Module):
    """Anchors of all cells of a feature map; the first cell's centre is the image's corner, as in Caffe."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        self.config = config
        self.cell_anchors = CellAnchors(cell_anchors(config.anchor_sizes, config.anchor_ratios))

    def forward(self, height: int, width: int, device: torch.device) -> torch.Tensor:
        """(height * width * A, 4) in pixels: row by row of the map, the A anchors of a cell side by side."""
        # From the configuration, not from the buffer: that loses digits in half precision.
        anchors = cell_anchors(self.config.anchor_sizes, self.config.anchor_ratios).to(device)
        y, x = torch.meshgrid(
            torch.arange(height, device=device) * STRIDE, torch.arange(width, device=device) * STRIDE, indexing="ij"
        )
        shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
        return (shifts + anchors).reshape(-1, 4)


class ProposalHead(nn.Module):
    """Whether each anchor holds an object, and how it should move."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        anchors = len(config.anchor_sizes) * len(config.anchor_ratios)
        self.conv = nn.Conv2d(config.hidden_sizes[2], config.rpn_hidden_size, 3, padding=1)
        self.objectness_logits = nn.Conv2d(config.rpn_hidden_size, anchors, 1)
        self.anchor_deltas = nn.Conv2d(config.rpn_hidden_size, 4 * anchors, 1)

    def forward(self, feature_map: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, C, H, W) to objectness (B, A, H, W) and deltas (B, 4 * A, H, W), the four of an anchor together."""
        hidden = F.relu_(self.conv(feature_map))
        return self.objectness_logits(hidden), self.anchor_deltas(hidden)


class ProposalGenerator(nn.Module):
    """Feature map to at most `rpn_proposals` boxes."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        self.config = config
        self.anchor_generator = AnchorGenerator(config)
        self.rpn_head = ProposalHead(config)

    def forward(
        self, feature_map: torch.Tensor, image_sizes: Sequence[tuple[int, int]]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The proposals of each image, best first.

        Args:
            feature_map: (B, C, H, W).
            image_sizes: (height, width) in pixels of each image's own part of the input.

        Returns:
            Boxes (N, 4) in pixels of the input and logits (N,), 1 <= N <= rpn_proposals. An image in which no anchor
            keeps an area gives itself.
        """
        objectness, deltas = self.rpn_head(feature_map)
        batch, _, height, width = objectness.shape
        anchors = self.anchor_generator(height, width, feature_map.device)
        logits = objectness.permute(0, 2, 3, 1).reshape(batch, -1).float()  # (B, H * W * A)
        deltas = deltas.permute(0, 2, 3, 1).reshape(batch, -1, 4)
        count = min(self.config.rpn_candidates, logits.shape[1])
        scores, order = logits.sort(dim=1, descending=True, stable=True)
        found = []
        for image, size in enumerate(image_sizes):
            best = order[image, :count]
            boxes = clip(regress(anchors[best], deltas[image, best]), size)
            found.append(self._choose(boxes, scores[image, :count], size))
        return found

    def _choose(
        self, boxes: torch.Tensor, scores: torch.Tensor, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        solid = (boxes[:, 2:] > boxes[:, :2]).all(dim=1).nonzero()[:, 0]
        boxes, scores = boxes[solid], scores[solid]
        if not len(boxes):
            return boxes.new_tensor([[0, 0, size[1], size[0]]]), scores.new_zeros(1)
        kept = suppress(boxes, scores, self.config.rpn_nms_threshold, self.config.rpn_proposals)
        return boxes[kept], scores[kept]
