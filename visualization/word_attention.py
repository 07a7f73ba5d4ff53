"""What the words of a sentence look at in its picture, and what parts of speech look at on average, as data.

"Visualizing LXMERT Behavior" (appendix of the paper) observes in the cross-modality encoder that nouns and pronouns
look at objects, while articles look at everything. Here both are numbers: how spread a word's attention is, and on
which regions it lies.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lxmert.processing import Regions
from lxmert.visualization.attention import AttentionRecord
from lxmert.visualization.region_graph import attention_map, which
from lxmert.visualization.word_classes import PARTS_OF_SPEECH, PartOfSpeech, Tagger, WholeWord, tag_words, whole_words

if TYPE_CHECKING:
    import pandas

NO_GROUP = "other"
Grouping = Callable[[Regions, int], str]


@dataclass(frozen=True)
class WordLook:
    """What one word of a sentence looks at, in numbers.

    Args:
        pair: number of its sentence.
        word: the text.
        part: of speech.
        spread: entropy of its attention on the R regions by that of uniform attention, 0 (one region) to 1 (all alike).
        largest: its attention on the region that it looks at most.
        shares: by group of regions, how much of its attention lies there; the groups add up to 1.
        uniform: by group of regions, its share of the regions: what uniform attention would give.
        named: how much of its attention lies on regions whose label names the word's lemma; None where that is none of
            them, or all.
        named_uniform: the share of these regions; None likewise.
    """

    pair: int
    word: str
    part: PartOfSpeech
    spread: float
    largest: float
    shares: dict[str, float] = field(repr=False)
    uniform: dict[str, float] = field(repr=False)
    named: float | None = None
    named_uniform: float | None = None


@dataclass(frozen=True)
class WordLooks:
    """What the words of many sentences look at.

    Args:
        looks: one for each word.
        groups: of regions, by name.
        told: which layer and head, for people.
    """

    looks: tuple[WordLook, ...]
    groups: tuple[str, ...]
    told: str

    def of(self, part: PartOfSpeech) -> list[WordLook]:
        """Those of one part of speech."""
        return [look for look in self.looks if look.part == part]

    def parts(self, least: int = 1) -> list[PartOfSpeech]:
        """The parts of speech that have so many words."""
        return [part for part in PARTS_OF_SPEECH if len(self.of(part)) >= least]

    def table(self) -> "pandas.DataFrame":
        """One row for each word.

        Returns:
            Columns `pair`, `word`, `part`, `spread`, `largest`, `named`, `named_uniform`, and for each group
            `share_...` and `uniform_...`.
        """
        import pandas

        rows = []
        for look in self.looks:
            row = {"pair": look.pair, "word": look.word, "part": look.part, "spread": look.spread}
            row |= {"largest": look.largest, "named": look.named, "named_uniform": look.named_uniform}
            row |= {f"share_{group}": look.shares.get(group, 0.0) for group in self.groups}
            rows.append(row | {f"uniform_{group}": look.uniform.get(group, 0.0) for group in self.groups})
        return pandas.DataFrame(rows)

    def means(self) -> "pandas.DataFrame":
        """The table's means by part of speech, with `words`, the number of words, and `named_words`, that of those
        which name a region.
        """
        table = self.table()
        grouped = table.drop(columns=["pair", "word"]).astype({"named": float, "named_uniform": float}).groupby("part")
        means = grouped.mean()
        means.insert(0, "words", grouped.size())
        means["named_words"] = grouped["named"].count()
        return means.reindex([part for part in PARTS_OF_SPEECH if part in means.index])


def attention_of_words(
    record: AttentionRecord, layer: int | None = -1, head: int | None = None, pair: int = 0
) -> tuple[list[WholeWord], np.ndarray]:
    """The attention of each word of a sentence on the regions; that of a word in several pieces is their mean.

    Args:
        record: with the kind "language_to_vision".
        layer: of the cross-modality encoder, counted from 0, from the end if negative; None for the mean over all.
        head: likewise.
        pair: of the record.

    Returns:
        The W words, without special tokens, and (W, R), rows of which sum to 1.

    Raises:
        IndexError: no such pair.
        ValueError: no such attention, layer or head.
    """
    attention = attention_map(record, "language_to_vision", layer, head, pair)
    words = whole_words(record[pair].words[0])
    return words, np.array([attention[list(word.pieces)].mean(0) for word in words]).reshape(-1, attention.shape[1])


def told_of(record: AttentionRecord, layer: int | None, head: int | None) -> str:
    """Which layer and head of the attention from words to regions, for people."""
    layers, _, heads = record.maps["language_to_vision"].shape[:3]
    return f"cross-modality encoder, {which('layer', layer, layers)}, {which('head', head, heads)}"


def spread_of(attention: np.ndarray) -> np.ndarray:
    """Entropy of attention by that of uniform attention; 1 where there is one region only.

    Args:
        attention: (..., R), sums to 1.

    Example:
        >>> spread_of(np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [1, 0, 0, 0]])).tolist()
        [1.0, 0.5, 0.0]
    """
    count = attention.shape[-1]
    if count == 1:
        return np.ones(attention.shape[:-1])
    logs = np.log(attention, out=np.zeros(attention.shape), where=attention > 0)
    return np.abs(attention * logs).sum(-1) / np.log(count)


def object_class(regions: Regions, region: int) -> str:
    """A region's object class by name, `NO_GROUP` where it has none: the groups that are the default."""
    if regions.object_ids is None or (number := int(regions.object_ids[region])) < 0:
        return NO_GROUP
    return f"class {number}" if regions.object_names is None else regions.object_names[number]


def look_at_regions(
    records: Iterable[AttentionRecord],
    regions: Iterable[Regions],
    layer: int | None = -1,
    head: int | None = None,
    group_of: Grouping = object_class,
    tagger: Tagger = tag_words,
) -> WordLooks:
    """Measure what each word of many sentences looks at.

    Args:
        records: of any number of pairs each.
        regions: of each pair's image, in the same order.
        layer: of the cross-modality encoder; see `attention_of_words`.
        head: likewise. The mean over the heads looks at more than each of them.
        group_of: the group of a region, from the image's regions and its row.
        tagger: of the words of a sentence; by default English.

    Raises:
        ModuleNotFoundError: HanTa, which the default tagger needs, is not installed.
        ValueError: no words, regions of another number of images or not those that the record has, or what
            `attention_of_words` raises.
    """
    looks: list[WordLook] = []
    seen: set[str] = set()
    images = iter(regions)
    pair, told = -1, ""
    for pair, record in enumerate(one for many in records for one in many):
        found = next(images, None)
        if found is None or len(found) != len(record.regions[0]):
            there = "none are given" if found is None else f"{len(found)} are given"
            raise ValueError(f"regions must be those of each pair: pair {pair} has {len(record.regions[0])}, {there}.")
        groups = [group_of(found, row) for row in range(len(found))]
        seen.update(groups)
        looks += _looks(pair, record, found, groups, layer, head, tagger)
        told = told_of(record, layer, head)
    if next(images, None) is not None:
        raise ValueError(f"regions must be those of each pair: there are more than the {pair + 1} pairs of records.")
    if not looks:
        raise ValueError("records hold no words: give at least one pair of a sentence and an image.")
    return WordLooks(tuple(looks), tuple(sorted(seen)), told)


def _looks(
    pair: int,
    record: AttentionRecord,
    regions: Regions,
    groups: Sequence[str],
    layer: int | None,
    head: int | None,
    tagger: Tagger,
) -> list[WordLook]:
    words, attention = attention_of_words(record, layer, head)
    spreads = spread_of(attention)
    uniform = _shares(groups, np.full(len(groups), 1 / len(groups)))
    looks = []
    for tagged, weights, spread in zip(tagger([word.text for word in words]), attention, spreads, strict=True):
        named = _named(regions, tagged.lemma)
        some = named.any() and not named.all()
        looks.append(
            WordLook(
                pair=pair,
                word=tagged.text,
                part=tagged.part,
                spread=float(spread),
                largest=float(weights.max()),
                shares=_shares(groups, weights),
                uniform=uniform,
                named=float(weights[named].sum()) if some else None,
                named_uniform=float(named.mean()) if some else None,
            )
        )
    return looks


def _shares(groups: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    shares: dict[str, float] = defaultdict(float)
    for group, weight in zip(groups, weights.tolist(), strict=True):
        shares[group] += weight
    return dict(shares)


def _named(regions: Regions, lemma: str) -> np.ndarray:
    """(R,) of bool, the regions whose object or attribute has this name or a word of it."""
    named = np.zeros(len(regions), bool)
    for ids, names in (
        (regions.object_ids, regions.object_names),
        (regions.attribute_ids, regions.attribute_names),
    ):
        if ids is not None and names is not None:
            numbers = [number for number, name in enumerate(names) if lemma in name.lower().split()]
            named |= np.isin(ids, numbers)
    return named
