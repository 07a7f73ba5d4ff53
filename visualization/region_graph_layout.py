"""Where nodes, arrows and labels of a graph over a picture go, so that they cover each other as little as possible."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lxmert.processing import Regions
from lxmert.visualization.region_graph import RegionEdge

APART = 0.045  # smallest distance of two nodes, of the picture's diagonal
BENDS = (0.14, -0.14, 0.26, -0.26, 0.4, -0.4)  # how far an arrow leaves the straight line, of its length
SAMPLES = np.linspace(0.06, 0.94, 23)  # of a curve, on which it is compared with others
GOLDEN_ANGLE = 2.399963  # radians


class Curve(NamedTuple):
    """An arrow's course.

    Args:
        bend: `rad` of matplotlib's connection style "arc3".
        points: (23, 2), x and y of samples in pixels.
    """

    bend: float
    points: np.ndarray


def spread_nodes(regions: Regions, rows: Sequence[int]) -> np.ndarray:
    """Where the nodes of regions stand: in the centres of their boxes, pushed apart where they would cover each other.

    Args:
        regions: of one image.
        rows: N of them.

    Returns:
        (N, 2), x and y in pixels, inside the image.
    """
    height, width = regions.image_size
    boxes = regions.boxes[list(rows)].astype(float)
    points = (boxes[:, :2] + boxes[:, 2:]) / 2
    least = APART * float(np.hypot(height, width))
    turn = np.arange(len(rows)) * GOLDEN_ANGLE  # nodes of one place leave it in different directions
    points += 1e-3 * least * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for _ in range(200):
        apart = points[:, None] - points[None]  # (N, N, 2)
        distance = np.hypot(*apart.transpose(2, 0, 1)) + np.eye(len(points)) * 10 * least
        if distance.min() >= least:
            break
        push = np.clip(least - distance, 0, None)[..., None] * apart / np.maximum(distance, 1e-9)[..., None]
        points = np.clip(points + 0.5 * push.sum(1), 0, [width, height])
    return points


def bend_arrows(
    edges: Sequence[RegionEdge], nodes: Sequence[int], points: np.ndarray, image_size: tuple[int, int]
) -> list[Curve]:
    """How each arrow bends: away from other nodes, from the arrows before it, and not out of the picture.

    Args:
        edges: the strongest first.
        nodes: rows of the N regions that have one.
        points: (N, 2), where they stand.
        image_size: (height, width) in pixels.
    """
    height, width = image_size
    near = 0.4 * APART * float(np.hypot(height, width))
    place = {row: number for number, row in enumerate(nodes)}
    before = np.empty((0, 2))
    curves: list[Curve] = []
    for edge in edges:
        ends = place[edge.source], place[edge.target]
        others = np.delete(points, ends, axis=0)
        best: Curve | None = None
        least = np.inf
        for rank, bend in enumerate(BENDS):
            course = _arc(points[ends[0]], points[ends[1]], bend)
            outside = ((course < 0) | (course > [width, height])).any(axis=1).sum()
            cost = 3 * _meetings(course, others, near) + _meetings(course, before, near / 2) + 4 * outside + 0.5 * rank
            if cost < least:
                best, least = Curve(bend, course), cost
        assert best is not None
        curves.append(best)
        before = np.concatenate([before, best.points])
    return curves


def _arc(start: np.ndarray, end: np.ndarray, bend: float) -> np.ndarray:
    """(samples, 2), matplotlib's "arc3" where y points down: a parabola whose control point is beside the middle."""
    across = end - start
    control = (start + end) / 2 + bend * np.array([-across[1], across[0]])
    t = SAMPLES[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def _meetings(course: np.ndarray, others: np.ndarray, near: float) -> int:
    """How many samples of a course are near some of other points."""
    if not len(others):
        return 0
    return int((np.hypot(*(course[:, None] - others).transpose(2, 0, 1)) < near).any(axis=1).sum())


def place_beside(
    points: np.ndarray, radius: float, sizes: np.ndarray, curves: Sequence[Curve], image_size: tuple[int, int]
) -> np.ndarray:
    """Where the labels of nodes go: beside them, inside the image, where they hide the least.

    Args:
        points: (N, 2), the nodes in pixels.
        radius: of a node in pixels.
        sizes: (N, 2), width and height of the labels in pixels.
        curves: of the arrows.
        image_size: (height, width) in pixels.

    Returns:
        (N, 2), x and y of each label's upper left corner.
    """
    height, width = image_size
    courses = np.concatenate([points[:0], *(curve.points for curve in curves)])
    taken = np.concatenate([points - radius, points + radius], axis=1)  # x1, y1, x2, y2 of nodes, then of labels too
    placed = np.empty((len(points), 2))
    for i, ((x, y), (w, h)) in enumerate(zip(points, sizes, strict=True)):
        places = [
            (x + across * (radius + w / 2) * far - w / 2, y + down * (radius + h / 2) * far - h / 2)
            for far in (1.0, 1.5)
            for across, down in ((0, -1), (0, 1), (1, 0), (-1, 0), (0.8, -1), (-0.8, -1), (0.8, 1), (-0.8, 1))
        ]
        corners = np.clip(np.array(places), 0, np.maximum([width - w, height - h], 0))
        ends = corners + np.array([w, h])
        over = np.minimum(ends[:, None], taken[:, 2:]) - np.maximum(corners[:, None], taken[:, :2])
        hidden = over.clip(0).prod(axis=2).sum(axis=1) / (w * h)
        crossed = ((courses >= corners[:, None]) & (courses <= ends[:, None])).all(axis=2).sum(axis=1)
        best = corners[np.argmin(4 * hidden + 0.05 * crossed + 1e-3 * np.arange(len(corners)))]
        placed[i] = best
        taken = np.concatenate([taken, [[*best, best[0] + w, best[1] + h]]])
    return placed
