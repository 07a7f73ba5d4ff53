import torch

from lxmert.detection.proposals import AnchorGenerator, ProposalGenerator, cell_anchors
from tests.detection.small_detector import small_config


def test_anchors_have_their_areas_and_ratios() -> None:
    anchors = cell_anchors([64, 128], [0.5, 1.0, 2.0])
    sides = anchors[:, 2:] - anchors[:, :2]
    torch.testing.assert_close(sides.prod(dim=1), torch.tensor([64.0**2] * 3 + [128.0**2] * 3))
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1, 2] * 2))
    torch.testing.assert_close(anchors[:, :2], -anchors[:, 2:])


def test_anchors_go_row_by_row_from_the_corner() -> None:
    generator = AnchorGenerator(small_config(anchor_sizes=[16], anchor_ratios=[1.0]))
    anchors = generator(2, 3, torch.device("cpu"))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.tolist() == [[0, 0], [16, 0], [32, 0], [0, 16], [16, 16], [32, 16]]


def test_proposals_lie_in_their_image_best_first() -> None:
    torch.manual_seed(0)
    generator = ProposalGenerator(small_config(rpn_proposals=12))
    found = generator(torch.randn(2, 16, 4, 6) * 3, [(64, 96), (40, 50)])
    for (boxes, logits), (height, width) in zip(found, [(64, 96), (40, 50)], strict=True):
        assert 1 <= len(boxes) <= 12
        assert torch.equal(logits, logits.sort(descending=True).values)
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()


def test_where_no_anchor_keeps_an_area_the_image_is_the_proposal() -> None:
    generator = ProposalGenerator(small_config())
    with torch.no_grad():
        generator.rpn_head.anchor_deltas.bias.view(-1, 4)[:, 0] = 1000.0  # all far to the right
    ((boxes, logits),) = generator(torch.zeros(1, 16, 4, 6), [(64, 90)])
    assert boxes.tolist() == [[0, 0, 90, 64]]
    assert logits.tolist() == [0]
