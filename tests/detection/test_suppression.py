import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lxmert.detection.suppression import BLOCK, suppress, suppress_in_every_class


def naive(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """Box by box in Python."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)):
        x1, y1, x2, y2 = boxes[i].tolist()
        for j in kept:
            a1, b1, a2, b2 = boxes[j].tolist()
            shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared
            if union > 0 and shared / union > threshold:
                break
        else:
            kept.append(i)
    return kept


def random_boxes(count: int, seed: int, grid: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes on whole pixels, many of them equal or without area, and scores with ties: float arithmetic is exact."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, grid, (count, 2), generator=generator)
    sides = torch.randint(0, grid, (count, 2), generator=generator)
    scores = torch.randint(0, max(count // 2, 1), (count,), generator=generator)
    return torch.cat([corners, corners + sides], dim=1).float(), scores.float()


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 10**6), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_equal_to_a_loop(count: int, seed: int, threshold: float) -> None:
    boxes, scores = random_boxes(count, seed)
    assert suppress(boxes, scores, threshold).tolist() == naive(boxes, scores, threshold)


def test_equal_to_a_loop_over_several_blocks() -> None:
    boxes, scores = random_boxes(2 * BLOCK + 77, seed=3, grid=60)
    kept = naive(boxes, scores, 0.7)
    assert len(kept) > BLOCK  # the second block meets what the first one kept
    assert suppress(boxes, scores, 0.7).tolist() == kept
    assert suppress(boxes, scores, 0.7, limit=10).tolist() == kept[:10]
    assert suppress(boxes, scores, 0.7, limit=len(kept) - 1).tolist() == kept[:-1]


def test_a_long_chain_of_overlaps() -> None:
    """Each box overlaps its neighbours only: every second one stays, which takes as many rounds as boxes."""
    starts = torch.arange(200.0)[:, None]
    boxes = torch.cat([starts, torch.zeros(200, 1), starts + 2, torch.ones(200, 1)], dim=1)
    assert suppress(boxes, -torch.arange(200.0), 0.3).tolist() == list(range(0, 200, 2))


@pytest.mark.parametrize("seed", range(5))
def test_all_classes_at_once_equal_class_by_class(seed: int) -> None:
    boxes, _ = random_boxes(70, seed)
    scores = torch.randint(0, 30, (70, 25), generator=torch.Generator().manual_seed(seed)).float()
    kept = suppress_in_every_class(boxes, scores, 0.3)
    assert kept.shape == (70, 25)
    for number in range(25):
        assert kept[:, number].nonzero()[:, 0].tolist() == sorted(naive(boxes, scores[:, number], 0.3))


def test_torchvision_agrees_where_it_loads() -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision's compiled operators are not installed")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corners = torch.rand(500, 2, generator=generator) * 300
        boxes = torch.cat([corners, corners + torch.rand(500, 2, generator=generator) * 200], dim=1)
        scores = torch.rand(500, generator=generator)
        assert suppress(boxes, scores, 0.5).tolist() == ops.nms(boxes, scores, 0.5).tolist()
