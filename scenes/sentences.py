"""Sentences with their meanings: read out of the training split, and recombined into new ones."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.grammar import GRAMMAR
from lxmert.scenes.parsing import Denotations, Grammar, Tree, evaluate, rules_of
from lxmert.scenes.words import words_with_places

Kind = Literal["towers", "scattered"]
READING_ROUNDS = 3
LEAST_AGREEMENT = 0.7  # with its labels, for a reading to be kept


@dataclass(frozen=True)
class Meant:
    """A sentence and its reading.

    Args:
        text: as it was written.
        words: as the grammar reads them.
        places: where each word begins in the text.
        tree: the reading.
        kind: of the scenes that it speaks of.
        weight: how many examples have this sentence; 1 for a recombined one.
    """

    text: str
    words: tuple[str, ...]
    places: tuple[int, ...]
    tree: Tree
    kind: Kind
    weight: float = 1.0

    def evaluate(self, scenes: Scenes) -> tuple[np.ndarray, Denotations]:
        """Truth (S,) and what the heads of phrases mean on S scenes."""
        value, meant = evaluate(self.tree, scenes)
        return np.broadcast_to(value, (len(scenes),)), meant


def kind_of(scenes: Scenes) -> np.ndarray:
    """(S,), whether a scene holds towers: squares that stand on each other in the middle of their boxes."""
    tower = ~scenes.present | ((scenes.shape == 0) & (scenes.size == 20) & (scenes.x == 40))
    return tower.all((-2, -1))


def read_sentences(
    texts: Sequence[str], scenes: Scenes, truths: np.ndarray, progress: bool = True, grammar: Grammar = GRAMMAR
) -> list[Meant]:
    """The sentences that the grammar can read, each with the reading that fits the labels of its examples best.

    Of readings that fit alike, the one whose rules are used most wins; how often they are follows from the others'
    readings, in a few rounds.

    Args:
        texts: of the examples, with repetitions.
        scenes: of the examples.
        truths: (S,), labels of the examples.
        progress: show a bar with time left.
        grammar: to read with.

    Returns:
        Without sentences that no reading fits well enough.
    """
    towers = kind_of(scenes)
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    placed: dict[tuple[str, ...], tuple[str, tuple[int, ...]]] = {}
    for row, text in enumerate(texts):
        words, places = _words(text)
        rows[words].append(row)
        placed.setdefault(words, (text, places))
    candidates: dict[tuple[str, ...], list[tuple[float, Tree, list[int]]]] = {}
    for words, of in tqdm(rows.items(), desc="Reading sentences", unit=" sentences", disable=not progress):
        here, truth = scenes[of], truths[of]
        readings = []
        for tree in grammar.parse(words):
            value, _ = evaluate(tree, here)
            readings.append((float((value == truth).mean()), tree, rules_of(tree)))
        if readings:
            candidates[words] = readings
    usage: Mapping[int, float] = {}
    chosen: dict[tuple[str, ...], tuple[float, Tree, list[int]]] = {}
    for _ in range(READING_ROUNDS):
        counts: Counter[int] = Counter()
        for words, readings in candidates.items():
            chosen[words] = max(readings, key=lambda reading: _fit(reading, usage, len(rows[words])))
            for number in chosen[words][2]:
                counts[number] += len(rows[words])
        usage = log_weights(grammar, counts)
    return [
        Meant(
            placed[words][0],
            words,
            placed[words][1],
            tree,
            "towers" if towers[rows[words]].mean() > 0.5 else "scattered",
            len(rows[words]),
        )
        for words, (agreement, tree, _) in chosen.items()
        if agreement >= LEAST_AGREEMENT
    ]


def _fit(reading: tuple[float, Tree, list[int]], usage: Mapping[int, float], examples: int) -> float:
    agreement, _, numbers = reading
    # A label that a reading does not fit is wrong in about one of twenty examples: odds of e^3.
    return 3 * agreement * examples + sum(usage.get(number, -8.0) for number in numbers)


def log_weights(grammar: Grammar, counts: Mapping[int, float]) -> dict[int, float]:
    """The logarithm of each rule's share among the rules of its symbol."""
    weights = {}
    for rules in grammar.by_symbol.values():
        total = sum(counts.get(rule.number, 0) for rule in rules)
        for rule in rules:
            if counts.get(rule.number, 0):
                weights[rule.number] = float(np.log(counts[rule.number] / total))
    return weights


def _words(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    words, places = [], []
    for found, (start, _) in words_with_places(text):
        words.extend(found)
        places.extend([start] * len(found))
    return tuple(words), tuple(places)


class Recombiner:
    """New sentences out of read ones: phrases are exchanged for others of the same symbol (Jia & Liang 2016).

    Args:
        sentences: read ones.
        exchange: chance that a phrase of several words is exchanged.
        exchange_word: chance that a phrase of one word is.
    """

    def __init__(self, sentences: Iterable[Meant], exchange: float = 0.12, exchange_word: float = 0.3):
        self.exchange, self.exchange_word = exchange, exchange_word
        self.sentences: dict[str, list[Meant]] = defaultdict(list)
        self.phrases: dict[str, dict[tuple[str, ...], list[tuple[Tree, tuple[str, ...]]]]] = {
            kind: defaultdict(list) for kind in ("towers", "scattered")
        }
        for sentence in sentences:
            self.sentences[sentence.kind].append(sentence)
            self._collect(sentence.kind, sentence.tree, sentence.words)
        self.weights = {kind: [s.weight**0.5 for s in found] for kind, found in self.sentences.items()}

    def _collect(self, kind: str, tree: Tree, words: tuple[str, ...]) -> None:
        self.phrases[kind][_form(tree, words)].append((tree, words))
        for child in tree.children:
            self._collect(kind, child, words)

    def draw(self, generator: random.Random, kind: Kind) -> Meant:
        """A new sentence about scenes of a kind."""
        while True:
            source = generator.choices(self.sentences[kind], self.weights[kind])[0]
            words: list[str] = []
            tree = self._copy(generator, kind, source.tree, source.words, words, 0)
            if len(words) <= 26:
                text = " ".join(words)
                places = tuple(len(" ".join(words[:i])) + bool(i) for i in range(len(words)))
                return Meant(text, tuple(words), places, tree, kind)

    def _copy(
        self, generator: random.Random, kind: str, tree: Tree, source: tuple[str, ...], words: list[str], depth: int
    ) -> Tree:
        chance = self.exchange_word if tree.end - tree.start == 1 else self.exchange
        if depth and depth < 12 and generator.random() < chance:
            tree, source = generator.choice(self.phrases[kind][_form(tree, source)])
        start, children, child = len(words), [], 0
        place = tree.start
        for part in tree.rule.parts:
            if part.isupper():
                old = tree.children[child]
                children.append(self._copy(generator, kind, old, source, words, depth + 1))
                place, child = old.end, child + 1
            else:
                words.append(source[place])
                place += 1
        return Tree(tree.rule, start, len(words), tuple(children))


def _form(tree: Tree, words: Sequence[str]) -> tuple[str, ...]:
    """What a phrase must share with another to stand in its place: symbol, and singular or plural."""
    phrase = words[tree.start : tree.end]
    singular = sorted({"one" for word in phrase if word in SINGULAR})
    plural = sorted(
        {"many" for word in phrase if word.endswith("s") and word not in ("is", "has") or word in ("are", "have")}
    )
    return (tree.rule.symbol, *singular, *plural)


SINGULAR = frozenset({"a", "an", "one", "1", "single", "is", "has", "each", "every"})
