import pytest
import torch
from torch.nn import functional as F

from lxmert.detection.resnet import Backbone, Bottleneck, NormalisedConv2d, folded, make_stage
from tests.detection.small_detector import small_config, small_detector


def unfolded(convolution: NormalisedConv2d, hidden: torch.Tensor) -> torch.Tensor:
    """Convolution, then batch normalisation with the statistics of the checkpoint."""
    norm = convolution.norm
    hidden = F.conv2d(hidden, convolution.weight, None, convolution.stride, convolution.padding, convolution.dilation)
    return F.batch_norm(hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)


@pytest.mark.parametrize("training", [False, True])
def test_folding_the_normalisation_changes_nothing(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small_detector().backbone.train(training)
    pixels = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(0)) * 50
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with torch.no_grad():
        ours = backbone(pixels)
        monkeypatch.setattr(NormalisedConv2d, "forward", unfolded)
        theirs = backbone(pixels)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_held_folding_is_dropped_at_the_end() -> None:
    stage = make_stage(small_config(), 5, stride=1, dilation=2)
    hidden = torch.randn(1, 16, 5, 5)
    with torch.no_grad():
        expected = stage(hidden)
        with folded(stage, torch.float32):
            torch.testing.assert_close(stage(hidden), expected)
            stage[0].conv1.weight.zero_()  # not looked at again inside
            torch.testing.assert_close(stage(hidden), expected)
        assert not torch.equal(stage(hidden), expected)


def test_the_stride_lies_where_the_configuration_says() -> None:
    caffe, torchvision = (Bottleneck(16, 32, stride=2, stride_in_1x1=first) for first in (True, False))
    assert (caffe.conv1.stride, caffe.conv2.stride) == ((2, 2), (1, 1))
    assert (torchvision.conv1.stride, torchvision.conv2.stride) == ((1, 1), (2, 2))
    assert caffe(torch.zeros(1, 16, 8, 8)).shape == torchvision(torch.zeros(1, 16, 8, 8)).shape == (1, 32, 4, 4)


@pytest.mark.parametrize(
    ("size", "cells"), [((64, 80), (4, 5)), ((65, 97), (4, 6)), ((1, 1), (1, 1)), ((1, 70), (1, 5))]
)
def test_there_is_about_a_cell_for_every_16_pixels(size: tuple[int, int], cells: tuple[int, int]) -> None:
    assert Backbone(small_config())(torch.zeros(1, 3, *size)).shape == (1, 16, *cells)
