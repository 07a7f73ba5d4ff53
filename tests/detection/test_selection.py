import torch

from lxmert.detection.selection import per_class, raised_threshold, select_regions
from lxmert.detection.suppression import suppress
from tests.detection.small_detector import small_config

# Four boxes of 10 x 10, each one pixel further right (overlaps of neighbours 9/11, 8/12, 7/13), and one far away.
BOXES = torch.tensor([[x, 0, x + 10, 10] for x in (0.0, 1.0, 2.0, 3.0, 100.0)])


def test_the_threshold_rises_until_enough_are_left() -> None:
    scores = torch.tensor([0.5, 0.9, 0.4, 0.3, 0.1])
    # at 0.5 only boxes 1 and 4 stay, at 0.7 box 3 joins (overlap with box 1: 8/12), at 0.85 all
    assert raised_threshold(BOXES, scores, [0.5, 0.7, 0.85], min_boxes=2, max_boxes=9).tolist() == [1, 4]
    assert raised_threshold(BOXES, scores, [0.5, 0.7, 0.85], min_boxes=3, max_boxes=9).tolist() == [1, 3, 4]
    assert raised_threshold(BOXES, scores, [0.5, 0.7, 0.85], min_boxes=4, max_boxes=9).tolist() == [1, 0, 2, 3, 4]
    assert raised_threshold(BOXES, scores, [0.5, 0.7, 0.85], min_boxes=4, max_boxes=4).tolist() == [1, 0, 2, 3]


def test_where_no_threshold_leaves_enough_the_last_one_counts() -> None:
    scores = torch.tensor([0.5, 0.9, 0.4, 0.3, 0.1])
    assert raised_threshold(BOXES, scores, [0.5, 0.7], min_boxes=5, max_boxes=5).tolist() == [1, 3, 4]
    assert raised_threshold(BOXES[:1], scores[:1], [0.5], min_boxes=36, max_boxes=36).tolist() == [0]


def test_per_class_counts_a_box_where_it_survives() -> None:
    probabilities = torch.tensor([[0.8, 0.0], [0.7, 0.2], [0.1, 0.6], [0.0, 0.5], [0.0, 0.05]])
    # class 0 keeps boxes 0 and 4; class 1 keeps box 2 and box 4
    ranked = per_class(BOXES, probabilities, 0.3, score_threshold=0.2, min_boxes=1, max_boxes=9)
    assert ranked.tolist() == [0, 2]
    assert per_class(BOXES, probabilities, 0.3, 0.2, min_boxes=3, max_boxes=9).tolist() == [0, 2, 4]
    assert per_class(BOXES, probabilities, 0.3, 0.2, min_boxes=1, max_boxes=1).tolist() == [0]
    assert per_class(BOXES, probabilities, 0.3, 0.9, min_boxes=1, max_boxes=9).tolist() == [0]
    assert len(per_class(BOXES, probabilities, 0.3, 0.2, min_boxes=36, max_boxes=36)) == 5


def test_per_class_equals_a_loop_over_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(80, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + torch.rand(80, 2, generator=generator) * 40], dim=1)
    probabilities = torch.randn(80, 30, generator=generator).mul(3).softmax(dim=1)
    confidence = torch.zeros(80)
    for number in range(30):
        kept = suppress(boxes, probabilities[:, number], 0.3)
        confidence[kept] = torch.maximum(confidence[kept], probabilities[kept, number])
    wanted = confidence.argsort(descending=True, stable=True)[: int((confidence >= 0.3).sum())]
    assert 10 < len(wanted) < 70
    assert torch.equal(per_class(boxes, probabilities, 0.3, 0.3, 10, 70), wanted)


def test_the_rules_differ_in_whose_box_counts() -> None:
    """Raised threshold: regressed for the best class and clipped. Per class: the proposal as it is."""
    config = small_config(num_objects=2, object_names=None, min_boxes=1, max_boxes=2)
    logits = torch.tensor([[0.0, 5.0, 9.0]])  # background is surest and does not count
    deltas = torch.zeros(1, 8)
    deltas[0, 4] = 10.0  # class 1: a whole width (10 / weight 10) to the right
    proposals = torch.tensor([[0.0, 0, 20, 10]])
    chosen, boxes = select_regions(config, proposals, logits, deltas, (10, 30))
    assert (chosen.tolist(), boxes.tolist()) == ([0], [[20, 0, 30, 10]])
    deltas[0, 4] = 100.0  # out of the image
    chosen, boxes = select_regions(config, proposals, logits, deltas, (10, 30))
    assert (chosen.tolist(), boxes.tolist()) == ([0], [[0, 0, 20, 10]])
    config.selection = "per_class"
    chosen, boxes = select_regions(config, proposals, logits, deltas, (10, 30))
    assert (chosen.tolist(), boxes.tolist()) == ([0], [[0, 0, 20, 10]])


def test_the_configuration_decides() -> None:
    proposals = BOXES
    logits = torch.tensor([[4.0, 0, 0], [3.0, 0, 0], [2.0, 0, 0], [1.0, 0, 0], [0.5, 0, 0]])  # two classes, background
    deltas = torch.zeros(5, 8)
    config = small_config(num_objects=2, object_names=None, min_boxes=1, max_boxes=5)
    for thresholds, expected in (([0.5], [0, 4]), ([0.85], [0, 1, 2, 3, 4])):
        config.nms_thresholds = thresholds
        assert select_regions(config, proposals, logits, deltas, (10, 200))[0].tolist() == expected
    config.selection = "per_class"
    config.per_class_nms_threshold, config.score_threshold = 0.75, 0.3
    # class 0 keeps boxes 0, 2 and 4 (neighbours overlap by 9/11, next but one by 8/12)
    assert select_regions(config, proposals, logits, deltas, (10, 200))[0].tolist() == [0, 2, 4]
    config.score_threshold = 0.7
    assert select_regions(config, proposals, logits, deltas, (10, 200))[0].tolist() == [0, 2]
    config.per_class_nms_threshold, config.score_threshold = 0.9, 0.7
    assert select_regions(config, proposals, logits, deltas, (10, 200))[0].tolist() == [0, 1, 2]


def test_a_score_at_the_threshold_counts() -> None:
    probabilities = torch.tensor([[0.25, 0.0], [0.0, 0.125]])
    boxes = BOXES[[0, 4]]
    assert per_class(boxes, probabilities, 0.3, 0.125, min_boxes=1, max_boxes=2).tolist() == [0, 1]
