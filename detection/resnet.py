"""ResNet with frozen batch normalisation (He et al. 2016), in the layout of Caffe's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from lxmert.configuration import FasterRcnnConfig

STRIDE = 16  # pixels of the input in a cell of res4


class NormalisedConv2d(nn.Conv2d):
    """A convolution and the batch normalisation behind it, as one convolution.

    The normalisation is frozen: it always uses the statistics of the checkpoint, so it is folded into weight and bias,
    in single precision. That is done on each call, so that nothing has to be kept in step with the weights; who calls
    it often for one input holds the result with `folded`.
    """

    held: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-5)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """(B, in_channels, H, W) to (B, out_channels, H', W')."""
        weight, bias = self.held or self.fold(input.dtype)
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation)

    def fold(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the one convolution."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
        weight = self.weight * scale[:, None, None, None]  # single precision, whatever the weight's
        bias = norm.bias.float() - norm.running_mean.float() * scale
        return weight.to(dtype, memory_format=torch.channels_last), bias.to(dtype)


@contextmanager
def folded(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Inside, the convolutions of a module keep what they fold: it is called for many parts of one input."""
    convolutions = [part for part in module.modules() if isinstance(part, NormalisedConv2d)]
    try:
        for part in convolutions:
            part.held = part.fold(dtype)
        yield
    finally:
        for part in convolutions:
            part.held = None


class Stem(nn.Module):
    """7x7 convolution and 3x3 maximum, each halving the resolution."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        self.conv1 = NormalisedConv2d(3, config.embedding_size, 7, stride=2, padding=3)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, embedding_size, H / 4, W / 4), give or take a cell."""
        hidden = F.relu_(self.conv1(pixel_values))
        return F.max_pool2d(hidden, kernel_size=3, stride=2, padding=0, ceil_mode=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside a shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1, stride_in_1x1: bool = True
    ):
        super().__init__()
        inner = out_channels // 4
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        same = in_channels == out_channels and stride == 1
        self.shortcut = None if same else NormalisedConv2d(in_channels, out_channels, 1, stride)
        self.conv1 = NormalisedConv2d(in_channels, inner, 1, first)
        self.conv2 = NormalisedConv2d(inner, inner, 3, second, padding=dilation, dilation=dilation)
        self.conv3 = NormalisedConv2d(inner, out_channels, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        shortcut = hidden if self.shortcut is None else self.shortcut(hidden)
        hidden = F.relu_(self.conv1(hidden))
        hidden = F.relu_(self.conv2(hidden))
        return F.relu_(self.conv3(hidden).add_(shortcut))


def make_stage(config: FasterRcnnConfig, number: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """Stage res2, res3, res4 or res5 by its number; its first block has the stride."""
    channels = (config.embedding_size, *config.hidden_sizes)
    incoming, outgoing = channels[number - 2], channels[number - 1]
    return nn.Sequential(
        *(
            Bottleneck(
                incoming if i == 0 else outgoing, outgoing, stride if i == 0 else 1, dilation, config.stride_in_1x1
            )
            for i in range(config.depths[number - 2])
        )
    )


class Backbone(nn.Module):
    """Stem, res2, res3 and res4: one cell for every 16 x 16 pixels."""

    def __init__(self, config: FasterRcnnConfig):
        super().__init__()
        self.stem = Stem(config)
        self.res2 = make_stage(config, 2, stride=1)
        self.res3 = make_stage(config, 3, stride=2)
        self.res4 = make_stage(config, 4, stride=2)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, hidden_sizes[2], H / 16, W / 16), give or take a cell.

        An image of less than 16 pixels is filled up with zeros at its right and bottom, or nothing would be left of it.
        """
        height, width = pixel_values.shape[-2:]
        if min(height, width) < STRIDE:
            pixel_values = F.pad(pixel_values, (0, max(STRIDE - width, 0), 0, max(STRIDE - height, 0)))
        return self.res4(self.res3(self.res2(self.stem(pixel_values))))
