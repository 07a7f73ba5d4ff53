"""Explanations with maps by hand, and what is on the figures that are drawn of them."""

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lxmert import Regions
from lxmert.visualization import AttentionRecord, Explanation, Relevance
from lxmert.visualization.attention import KINDS
from lxmert.visualization.texts import boxes_for_missing_characters

WORDS = ("[CLS]", "two", "bal", "##loons", "in", "it", "[SEP]")
NAMES = ("balloon", "box")


def make_regions(count: int = 3, seed: int = 0, size: tuple[int, int] = (30, 40)) -> Regions:
    """The first two on the rectangles of the tests' picture, the third around all, others anywhere."""
    generator = np.random.default_rng(seed)
    height, width = size
    first = generator.uniform(0, 0.7, (count, 2))
    boxes = np.concatenate([first, first + generator.uniform(0.1, 0.3, (count, 2))], axis=1)
    boxes = boxes * np.array([width, height, width, height])
    known = np.array([[2, 3, 12, 13], [20, 10, 36, 26], [0, 0, 40, 30]])[:count] * (
        np.array(size[::-1] * 2) / (40, 30, 40, 30)
    )
    boxes[: len(known)] = known
    ids = np.array([0, 0, 1] + [0] * (count - 3))[:count]
    return Regions(np.zeros((count, 1)), boxes, size, object_ids=ids, object_names=NAMES)


def make_record(
    maps: dict[str, np.ndarray], words: tuple[str, ...] = WORDS, regions: Regions | None = None
) -> AttentionRecord:
    """Of one pair; maps are (layers, heads, queries, keys)."""
    regions = make_regions() if regions is None else regions
    named = tuple(regions.describe(i) for i in range(len(regions)))
    return AttentionRecord(
        {kind: np.asarray(array, np.float32)[:, None] for kind, array in maps.items()},  # type: ignore[misc]
        (words,),
        (named,),
        np.ones((1, len(words)), bool),
        np.ones((1, len(named)), bool),
    )


def uniform_maps(words: int, regions: int, layers: int = 2, heads: int = 2) -> dict[str, np.ndarray]:
    """All six kinds, the same attention everywhere."""
    sizes = {"words": words, "regions": regions}
    return {
        kind: np.full((layers, heads, sizes[of.queries], sizes[of.keys]), 1 / sizes[of.keys])
        for kind, of in KINDS.items()
    }


def make_relevance(words: list[float], regions: list[float], method: str = "generic") -> Relevance:
    """Of one pair."""
    count, others = len(words), len(regions)
    return Relevance(
        words=np.array([words]),
        regions=np.array([regions]),
        words_to_words=np.zeros((1, count, count)),
        words_to_regions=np.zeros((1, count, others)),
        regions_to_regions=np.zeros((1, others, others)),
        regions_to_words=np.zeros((1, others, count)),
        answers=(0,),
        scores=np.zeros(1),
        method=method,  # type: ignore[arg-type]
    )


def make_explanation(
    image: Any = None,
    maps: dict[str, np.ndarray] | None = None,
    regions: Regions | None = None,
    words: tuple[str, ...] = WORDS,
    question: str = "Two balloons in it",
    relevances: dict[str, dict[str, Relevance]] | None = None,
    answers: tuple[tuple[str, float], ...] = (("yes", 0.9), ("no", 0.1)),
) -> Explanation:
    """With the same attention everywhere where no maps are given."""
    regions = make_regions() if regions is None else regions
    whole = uniform_maps(len(words), len(regions)) | (maps or {})
    return Explanation(image, question, regions, make_record(whole, words, regions), answers, relevances or {})  # type: ignore[arg-type]


def extents_of(figure: Figure, artists: list[Any]) -> list[Any]:
    """The boxes of artists in dots."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    with boxes_for_missing_characters():
        return [artist.get_window_extent(renderer) for artist in artists]


def overlaps(figure: Figure, texts: list[Any]) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other."""
    boxes = extents_of(figure, texts)
    found = []
    for (one, first), (other, second) in combinations(zip(texts, boxes, strict=True), 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        if min(across, down) > 1:
            found.append((one.get_text(), other.get_text()))
    return found


def outside(figure: Figure, texts: list[Any]) -> list[str]:
    """Texts that leave the page."""
    page = figure.bbox
    return [
        text.get_text()
        for text, box in zip(texts, extents_of(figure, texts), strict=True)
        if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]
