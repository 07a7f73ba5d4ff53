import math

import pytest
import torch

from lxmert.detection.boxes import clip, overlap, regress


def test_overlap_is_intersection_over_union() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [10, 10, 11, 11], [1, 1, 1, 1]])
    found = overlap(boxes, boxes)
    assert found[0, 1] == pytest.approx(4 / 28)
    assert found[0, 2] == 0
    assert found[0, 3] == 0
    assert found.diagonal()[:3].tolist() == [1, 1, 1]
    assert math.isnan(found[3, 3])  # no area: overlaps nothing more than any threshold


def test_a_regression_moves_the_centre_and_scales_the_sides() -> None:
    box = torch.tensor([[10.0, 20, 30, 60]])  # 20 wide, 40 high, centre 20, 40
    deltas = torch.tensor([[0.5, -0.25, math.log(2), math.log(0.5)]])
    torch.testing.assert_close(regress(box, deltas), torch.tensor([[10.0, 20, 50, 40]]))
    torch.testing.assert_close(
        regress(box, deltas * torch.tensor([10, 10, 5, 5]), (10, 10, 5, 5)), torch.tensor([[10.0, 20, 50, 40]])
    )


def test_growth_is_limited() -> None:
    grown = regress(torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[0.0, 0, 50, 50]]))
    torch.testing.assert_close(grown, torch.tensor([[-492.0, -492, 508, 508]]))


def test_boxes_are_clipped_at_height_and_width() -> None:
    boxes = torch.tensor([[-5.0, -5, 200, 200], [150, 3, 160, 4]])
    assert clip(boxes, (50, 100)).tolist() == [[0, 0, 100, 50], [100, 3, 100, 4]]
