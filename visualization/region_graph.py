"""The object-relationship encoder as a graph: which regions look at which, as data ("Visualizing LXMERT Behavior").

The paper reads the attention among regions as a scene graph: strong attention is an edge from the region that looks to
the one that is looked at.
"""

from typing import NamedTuple

import numpy as np

from lxmert.visualization.attention import KINDS, AttentionRecord, Kind

MOST_EDGES = 24


class RegionEdge(NamedTuple):
    """One region's attention on another.

    Args:
        source: row of the region that looks.
        target: row of the region that is looked at.
        weight: the attention, in [0, 1].
    """

    source: int
    target: int
    weight: float


def attention_map(
    record: AttentionRecord, kind: Kind, layer: int | None = None, head: int | None = None, pair: int = 0
) -> np.ndarray:
    """One map of a pair: a head of a layer, or a mean.

    Args:
        record: of one pair or more.
        kind: which attention.
        layer: counted from 0, from the end if negative; None for the mean over all layers.
        head: likewise; None for the mean over all heads.
        pair: whose maps.

    Returns:
        (queries, keys), without what is masked out; rows sum to 1.

    Raises:
        IndexError: no such pair.
        ValueError: a kind, layer or head that the record does not have.
    """
    if kind not in record.maps:
        asked = "is no kind of attention" if kind not in KINDS else "is not in the record"
        raise ValueError(f"kind {kind!r} {asked}; it has {', '.join(record.maps)}.")
    array = record[pair].maps[kind][:, 0]  # (layers, heads, queries, keys)
    for name, number, count in (("layer", layer, array.shape[0]), ("head", head, array.shape[1])):
        if number is not None and not -count <= number < count:
            raise ValueError(f"{name} must lie in {-count}..{count - 1} for kind {kind!r}, or be None, got {number}.")
    array = array.mean(0) if layer is None else array[layer]
    return array.mean(0) if head is None else array[head]


def which(name: str, number: int | None, count: int) -> str:
    """A layer or head, counted from 0, in words.

    Example:
        >>> which("layer", -1, 3), which("head", None, 12), which("layer", None, 1)
        ('layer 2', 'mean of 12 heads', 'layer 0')
    """
    if number is None and count > 1:
        return f"mean of {count} {name}s"
    return f"{name} {(number or 0) % count}"


def region_edges(
    attention: np.ndarray, most: int | None = MOST_EDGES, per_region: int | None = None, above: float = 0.0
) -> list[RegionEdge]:
    """The strongest edges between regions, the strongest first; a region's attention on itself is left out.

    Args:
        attention: (R, R), row i what region i looks at.
        most: how many edges; None for all.
        per_region: how many edges may leave a region, the strongest; None for any number.
        above: only edges whose weight is larger.

    Raises:
        ValueError: attention that is not square, or a number of edges below 1.

    Example:
        >>> region_edges(np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4], [0.3, 0.6, 0.1]]), most=2)
        [RegionEdge(source=0, target=1, weight=0.7), RegionEdge(source=2, target=1, weight=0.6)]
    """
    if attention.ndim != 2 or attention.shape[0] != attention.shape[1]:
        raise ValueError(f"attention must be square, (R, R), among the regions of one image, got {attention.shape}.")
    for name, count in (("most", most), ("per_region", per_region)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, or None for no limit, got {count}.")
    weights = np.where(np.eye(len(attention), dtype=bool), -np.inf, attention)
    sources, targets = np.nonzero(weights > above)
    order = np.argsort(-weights[sources, targets], kind="stable")
    leaving = [0] * len(attention)
    edges: list[RegionEdge] = []
    for source, target in zip(sources[order].tolist(), targets[order].tolist(), strict=True):
        if len(edges) == most:
            break
        if per_region is None or leaving[source] < per_region:
            leaving[source] += 1
            edges.append(RegionEdge(source, target, float(attention[source, target])))
    return edges
