"""Sentences joined with scenes, with computed truth and what each phrase means: what pre-training learns from."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from tqdm.auto import tqdm

from lxmert.scenes.arrays import BOXES, SLOTS, Scenes, concatenate
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.random_scenes import random_scattered, random_towers
from lxmert.scenes.sentences import Kind, Meant, Recombiner
from lxmert.scenes.words import VARIANTS

PHRASES = 12  # of a sentence, whose meaning is kept
REGIONS = BOXES * (SLOTS + 1)  # places: the objects of a box, behind them the box
CHUNK, LARGE_CHUNK = 96, 768  # scenes that a sentence is tried on
UNKNOWN = -1


@dataclass(frozen=True)
class Samples:
    """N pairs of a sentence and a scene.

    Args:
        sentence: (N,) of int32, rows of `texts`.
        scene: (N,) of int32, rows of `scenes`.
        truth: (N,) of int8, 1, 0, or -1 where unknown.
        regions: (N, 12) of uint32, for each phrase a set of 27 bits, which regions it means: bit 9 * box + slot for an
            object, 9 * box + 8 for the box, which belongs to a set of objects, too, where it holds one of them.
        texts: the sentences.
        places: (sentences, 12), where in the text the head word of each phrase begins; -1 without a phrase.
        of_boxes: (sentences, 12), whether a phrase means boxes, not objects.
        exchangeable: (sentences,), whether all words are spelt right, so that colours can be exchanged in them.
        scenes: all scenes.
    """

    sentence: np.ndarray
    scene: np.ndarray
    truth: np.ndarray
    regions: np.ndarray
    texts: list[str]
    places: np.ndarray
    of_boxes: np.ndarray
    exchangeable: np.ndarray
    scenes: Scenes

    def __len__(self) -> int:
        return len(self.sentence)


def is_exchangeable(text: str) -> bool:
    """Whether all words are spelt as the grammar spells them."""
    return set(re.findall(r"[^\s,.]+", text.lower())) <= _known_words()


@cache
def _known_words() -> frozenset[str]:
    return nlvr_grammar().words | VARIANTS.keys()


def given_samples(texts: Sequence[str], scenes: Scenes, truths: Sequence[bool]) -> Samples:
    """Examples with their own labels, without what phrases mean.

    Args:
        texts: N sentences.
        scenes: N.
        truths: N labels, true or false.

    Raises:
        ValueError: no examples, or not as many texts as scenes and labels.
    """
    if not len(texts) or not len(texts) == len(scenes) == len(truths):
        raise ValueError(
            f"Every example has a text, a scene and a label, and there must be some; these are {len(texts)} texts, "
            f"{len(scenes)} scenes and {len(truths)} labels."
        )
    return Samples(
        sentence=np.arange(len(texts), dtype=np.int32),
        scene=np.arange(len(texts), dtype=np.int32),
        truth=np.array(truths, np.int8),
        regions=np.zeros((len(texts), PHRASES), np.uint32),
        texts=list(texts),
        places=np.full((len(texts), PHRASES), UNKNOWN, np.int16),
        of_boxes=np.zeros((len(texts), PHRASES), bool),
        exchangeable=np.array([is_exchangeable(text) for text in texts]),
        scenes=scenes,
    )


def draw_samples(
    read: Sequence[Meant],
    kinds: Mapping[Kind, Scenes],
    sentences: int,
    for_each: int,
    seed: int,
    own_share: float = 0.4,
    progress: bool = True,
) -> Samples:
    """Join sentences with scenes, half of which make them true where there are such.

    A sentence that is always or never true on the scenes that it is tried on is left out.

    Args:
        read: sentences that were read; they take `own_share` of the places, recombined ones the others.
        kinds: scenes of towers and scattered ones.
        sentences: number of sentences, repetitions of read ones counted.
        for_each: number of scenes for each.
        seed: of all that is drawn.
        own_share: share of sentences as they were read.
        progress: show a bar with time left.

    Raises:
        ValueError: no sentences, numbers that are too small, fewer than 768 scenes of a kind, or sentences none of
            which is true of some scenes and false of others.
    """
    _check_wishes(read, kinds, sentences, for_each, own_share)
    generator, numbers = random.Random(seed), np.random.default_rng(seed)
    recombiner = Recombiner(read)
    offset = {"towers": 0, "scattered": len(kinds["towers"])}
    weights = [sentence.weight**0.5 for sentence in read]
    rows: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
    texts: list[str] = []
    places: list[list[int]] = []
    of_boxes: list[list[bool]] = []
    for _ in tqdm(range(sentences), desc="Drawing sentences", unit=" sentences", disable=not progress):
        meant = generator.choices(read, weights)[0]
        if generator.random() > own_share:
            meant = recombiner.draw(generator, meant.kind)
        drawn = _scenes_for(meant, kinds[meant.kind], for_each, numbers)
        if drawn is None:
            continue
        chosen, truth, positions, boxes, bits = drawn
        rows.append((len(texts), chosen + offset[meant.kind], truth, bits))
        texts.append(meant.text)
        places.append([meant.places[p] for p in positions] + [UNKNOWN] * (PHRASES - len(positions)))
        of_boxes.append(boxes + [False] * (PHRASES - len(boxes)))
    if not rows:
        raise ValueError(f"None of {sentences} sentences is true of some scenes and false of others; draw more.")
    return Samples(
        sentence=np.concatenate([np.full(len(scenes), row, np.int32) for row, scenes, _, _ in rows]),
        scene=np.concatenate([scenes.astype(np.int32) for _, scenes, _, _ in rows]),
        truth=np.concatenate([truth.astype(np.int8) for _, _, truth, _ in rows]),
        regions=np.concatenate([bits for _, _, _, bits in rows]),
        texts=texts,
        places=np.array(places, np.int16),
        of_boxes=np.array(of_boxes, bool),
        exchangeable=np.array([is_exchangeable(text) for text in texts]),
        scenes=concatenate([kinds["towers"], kinds["scattered"]]),
    )


def _check_wishes(
    read: Sequence[Meant], kinds: Mapping[Kind, Scenes], sentences: int, for_each: int, own_share: float
) -> None:
    if not read:
        raise ValueError("read holds no sentences; read some with read_sentences.")
    if sentences < 1:
        raise ValueError(f"sentences must be at least 1, not {sentences}.")
    if for_each < 2:
        raise ValueError(f"for_each must be at least 2, one scene for true and one for false, not {for_each}.")
    if not 0 <= own_share <= 1:
        raise ValueError(f"own_share is a share between 0 and 1, not {own_share}.")
    kind: Kind
    for kind in ("towers", "scattered"):
        if kind not in kinds:
            raise ValueError(f"kinds has no scenes of {kind}; pools draws both kinds.")
        if len(kinds[kind]) < LARGE_CHUNK:
            raise ValueError(
                f"kinds[{kind!r}] has {len(kinds[kind])} scenes, but a sentence is tried on {LARGE_CHUNK}; draw more."
            )


def _scenes_for(
    meant: Meant, scenes: Scenes, wanted: int, numbers: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[int], list[bool], np.ndarray] | None:
    """Rows of scenes, their truth, and what the phrases mean there; None where no scene or all make it true."""
    for size in (CHUNK, LARGE_CHUNK):
        start = int(numbers.integers(0, len(scenes) - size + 1))
        here = scenes[start : start + size]
        truth, denotations = meant.evaluate(here)
        true, false = np.flatnonzero(truth), np.flatnonzero(~truth)
        if min(len(true), len(false)) >= wanted // 2:
            break
    if not len(true) or not len(false):
        return None
    rarer, other = sorted((numbers.permutation(true), numbers.permutation(false)), key=len)
    rarer = rarer[: wanted // 2]
    rows = np.concatenate([rarer, other[: max(wanted // 2, len(rarer))]])
    positions = sorted(denotations)[:PHRASES]
    bits, boxes = np.zeros((len(rows), PHRASES), np.uint32), []
    for index, position in enumerate(positions):
        bits[:, index], of_boxes = _bits(denotations[position], rows)
        boxes.append(of_boxes)
    return rows + start, truth[rows], positions, boxes, bits


def _bits(regions: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, bool]:
    """A set of regions (S, 3, 8) or of boxes (S, 3) as numbers; a box that holds an object of the set is in it, too."""
    of_boxes = regions.ndim == 2
    places = np.zeros((len(rows), BOXES, SLOTS + 1), bool)
    chosen = regions[rows]
    if of_boxes:
        places[..., SLOTS] = chosen
    else:
        places[..., :SLOTS] = chosen
        places[..., SLOTS] = chosen.any(-1)
    return (places.reshape(len(rows), REGIONS) * (1 << np.arange(REGIONS))).sum(-1).astype(np.uint32), of_boxes


def pools(real: Scenes | None, real_towers: np.ndarray | None, count: int, seed: int) -> dict[Kind, Scenes]:
    """Scenes by kind, in random order: drawn ones, and real ones where given.

    Args:
        real: scenes of the data set.
        real_towers: (S,) of bool, which of them hold towers, as `kind_of` says.
        count: scenes to be drawn of each kind; 0 takes real ones alone.
        seed: of all that is drawn.

    Raises:
        ValueError: real scenes without their kinds or kinds of other scenes; a count below one without real scenes.
    """
    if (real is None) != (real_towers is None) or (
        real is not None and real_towers is not None and len(real) != len(real_towers)
    ):
        raise ValueError("real and real_towers belong together, one kind for each scene; kind_of tells the kinds.")
    numbers = np.random.default_rng(seed)
    parts: dict[Kind, list[Scenes]] = {"towers": [], "scattered": []}
    if count or real is None:
        parts["towers"].append(random_towers(count, numbers))
        parts["scattered"].append(random_scattered(count, numbers))
    if real is not None and real_towers is not None:
        towers = np.asarray(real_towers, bool)
        parts["towers"].append(real[towers])
        parts["scattered"].append(real[~towers])
    together = {kind: concatenate(scenes) for kind, scenes in parts.items()}
    return {kind: scenes[numbers.permutation(len(scenes))] for kind, scenes in together.items()}
