"""What a page of an explanation holds: every map as bytes with the scale of each row, reduced where there are too many.

A map becomes one byte for each weight and one float32 for each row of a query: the row's largest weight, which the byte
255 stands for. So a weight is wrong by at most 1/510 of its row's largest one. In relevance among words or regions each
starts as made of itself, which would be by far the largest: the own weights stand apart, unrounded.
"""

import base64
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from lxmert.visualization.attention import KINDS, Kind, Side
from lxmert.visualization.explanation import Explanation
from lxmert.visualization.relevance_rules import METHODS_FOR_PEOPLE
from lxmert.visualization.texts import shortened

SHOWN_ANSWERS = 5
LONGEST_TEXT = 300  # characters of a word, region or answer
KEPT_KEYS = 32  # of each query, where a map is reduced to its strongest weights
SAMPLED_ROWS = 512  # from which the size of a map is estimated
SIDES: tuple[Side, ...] = get_args(Side)
DIRECTIONS = [(queries, keys) for queries in SIDES for keys in SIDES]
Reduction = Literal["layers", "heads", "keys"]

KINDS_FOR_PEOPLE: dict[Kind, str] = {
    "language": "Which words each word looks at, before the sentence meets the picture.",
    "vision": "Which regions each region looks at, before the picture meets the sentence.",
    "language_to_vision": "Which regions each word looks at; on a region, which words look at it.",
    "vision_to_language": "Which words each region looks at; on a word, which regions look at it.",
    "cross_language_self": "Which words each word looks at, after the sentence has met the picture.",
    "cross_vision_self": "Which regions each region looks at, after the picture has met the sentence.",
}


@dataclass
class Block:
    """Maps that are kept, or reduced, together.

    Args:
        name: under which the page finds them.
        title: for people.
        values: (layers, heads, queries, keys), not negative; of relevance, one "layer" for each explained answer of
            each method, and one "head".
        queries: what looks.
        keys: what is looked at.
        is_attention: whether the layers are layers, so that their mean means something.
        own: (layers, heads, queries), each query's weight for itself where it stands apart; it is then 0 in `values`.
        reductions: what was left out, for people, by reduction.
    """

    name: str
    title: str
    values: np.ndarray = field(repr=False)
    queries: Side
    keys: Side
    is_attention: bool
    own: np.ndarray | None = field(default=None, repr=False)
    reductions: dict[Reduction, str] = field(default_factory=dict)

    @cached_property
    def estimate(self) -> int:
        """About how many characters it takes, from a sample of its rows."""
        rows = self.values.reshape(-1, self.values.shape[-1])
        sample = rows[:: -(-len(rows) // SAMPLED_ROWS)]
        return len(packed(sample)) * len(rows) // len(sample)

    @cached_property
    def packed(self) -> str:
        """See `packed`."""
        return packed(self.values, self.own)

    @property
    def next_reduction(self) -> Reduction | None:
        """What is missed least of what could still be left out: heads, then weak keys, then layers."""
        layers, heads, _, keys = self.values.shape
        if heads > 1:
            return "heads"
        if keys > KEPT_KEYS and "keys" not in self.reductions:
            return "keys"
        return "layers" if self.is_attention and layers > 1 else None

    def reduce(self, reduction: Reduction) -> None:
        """Replace heads or layers by their mean, or each query's weak keys by 0."""
        if reduction == "keys":
            least = np.partition(self.values, -KEPT_KEYS, axis=-1)[..., -KEPT_KEYS, None]
            self.values = np.where(self.values >= least, self.values, np.float32(0))
            said = f"of {self.values.shape[-1]} {self.keys} the {KEPT_KEYS} strongest, the others as 0"
        else:
            axis = ("layers", "heads").index(reduction)
            said = f"the mean of {self.values.shape[axis]} {reduction}"
            self.values = self.values.mean(axis, keepdims=True)
        self.reductions[reduction] = said
        self.__dict__.pop("estimate", None)
        self.__dict__.pop("packed", None)


def packed(values: np.ndarray, own: np.ndarray | None = None) -> str:
    """Maps as text: base64 of zlib of the rows' scales, own weights if there are any, and the bytes.

    Args:
        values: (..., queries, keys); scales and own weights become float32, little-endian.
        own: (..., queries).

    Raises:
        ValueError: values that are negative, NaN or infinite.
    """
    scales = values.max(-1)
    parts = [scales] if own is None else [scales, own]
    if not all(np.isfinite(part).all() for part in parts) or not values.min() >= 0:
        raise ValueError("The explanation holds weights that are negative, NaN or infinite: check the model's weights.")
    codes = values * (np.float32(255) / np.where(scales > 0, scales, np.float32(1)))[..., None]
    codes += 0.5
    held = b"".join(part.astype("<f4").tobytes() for part in parts) + codes.astype(np.uint8).tobytes()
    return base64.b64encode(zlib.compress(held, 1)).decode()


def fit(blocks: Sequence[Block], budget: int) -> None:
    """Reduce the largest block again and again until all texts have so many characters together.

    What words look at among regions, and regions among words, is what a page is opened for: it counts half.

    Raises:
        ValueError: they are larger even when all is reduced.
    """
    while not _fits(blocks, budget):
        left = [(block, reduction) for block in blocks if (reduction := block.next_reduction)]
        if not left:
            over = sum(len(block.packed) for block in blocks) - budget
            raise ValueError(f"The page is {over:,} bytes larger than max_bytes, with all its maps reduced: raise it.")
        block, reduction = max(left, key=lambda pair: pair[0].estimate * (1 + (pair[0].queries == pair[0].keys)))
        block.reduce(reduction)


def _fits(blocks: Sequence[Block], budget: int) -> bool:
    # The estimate spares large blocks from being packed in vain.
    return sum(block.estimate for block in blocks) <= budget and sum(len(block.packed) for block in blocks) <= budget


def blocks_of(explanation: Explanation) -> tuple[list[Block], dict[str, list[int]]]:
    """All maps of an explanation, and where in the blocks of relevance each explained answer lies, by method.

    Answers that a method explains alike share one place.
    """
    blocks = [
        Block(f"attention/{kind}", KINDS[kind].title, array[:, 0], KINDS[kind].queries, KINDS[kind].keys, True)
        for kind, array in explanation.record.maps.items()
    ]
    kept: list[list[np.ndarray]] = []
    places: dict[str, list[int]] = {}
    for method, by_answer in explanation.relevances.items():
        places[method] = []
        for answer in explanation.explained:
            arrays = [getattr(by_answer[answer], f"{queries}_to_{keys}")[0] for queries, keys in DIRECTIONS]
            alike = (place for place in places[method] if all(map(np.array_equal, kept[place], arrays)))
            place = next(alike, len(kept))
            if place == len(kept):
                kept.append(arrays)
            places[method].append(place)
    if kept:
        stacked = [np.stack(arrays)[:, None] for arrays in zip(*kept, strict=True)]
        blocks += [_relevance_block(*between, values) for between, values in zip(DIRECTIONS, stacked, strict=True)]
    return blocks, places


def _relevance_block(queries: Side, keys: Side, values: np.ndarray) -> Block:
    if queries != keys:
        title = f"relevance of {keys} for {queries}"
        return Block(f"relevance/{queries}_to_{keys}", title, values, queries, keys, False)
    diagonal = np.arange(values.shape[-1])
    own = values[..., diagonal, diagonal]
    values[..., diagonal, diagonal] = 0
    return Block(f"relevance/{queries}_to_{keys}", f"relevance among {keys}", values, queries, keys, False, own)


def page_data(explanation: Explanation, places: dict[str, list[int]]) -> dict[str, Any]:
    """All that the page shows but the picture and the maps, for JSON."""
    probabilities = dict(explanation.answers)
    shown = [answer for answer, _ in explanation.answers[:SHOWN_ANSWERS]]
    shown += [answer for answer in explanation.explained if answer not in shown]
    maps = explanation.record.maps
    return {
        "question": explanation.question,
        "direction": direction(explanation.question),
        "words": [shortened(word, LONGEST_TEXT) for word in explanation.words],
        "regions": [shortened(name, LONGEST_TEXT) for name in explanation.record.regions[0]],
        "boxes": explanation.regions.boxes.astype(float).round(1).tolist(),
        "image_size": list(explanation.regions.image_size),
        "answers": [
            {
                "text": shortened(answer, LONGEST_TEXT),
                "probability": probabilities.get(answer),
                "explained": explanation.explained.index(answer) if answer in explanation.explained else None,
            }
            for answer in shown
        ],
        "methods": [
            dict(zip(("title", "sentence"), METHODS_FOR_PEOPLE[method], strict=True))
            | {"name": method, "places": places[method]}
            for method in explanation.relevances
        ],
        "kinds": [
            {"name": kind, "title": KINDS[kind].title, "sentence": KINDS_FOR_PEOPLE[kind]}
            | {"queries": KINDS[kind].queries, "keys": KINDS[kind].keys}
            | {"layers": maps[kind].shape[0], "heads": maps[kind].shape[2]}
            for kind in maps
        ],
    }


def direction(text: str) -> str:
    """ "rtl" or "ltr", by the first letter that has a direction.

    Example:
        >>> direction("2 red?"), direction("¿מה?")
        ('ltr', 'rtl')
    """
    directions = (unicodedata.bidirectional(character) for character in text)
    first = next((found for found in directions if found in ("L", "R", "AL")), "L")
    return "ltr" if first == "L" else "rtl"
