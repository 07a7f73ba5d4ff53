"""Sentences with their meanings: read out of the training split, and recombined into new ones.

The grammar (`grammar`) was written from sentences of the training split, and a sentence often has several readings in
it. No reading is annotated: the labels of a sentence's examples choose, as in learning from answers alone (Clarke,
Goldwasser, Chang & Roth, CoNLL 2010), which Goldman, Latcinnik, Nave, Globerson & Berant (ACL 2018) did on NLVR. New
sentences are made by exchanging phrases of one symbol, the data recombination of Jia & Liang (ACL 2016).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import Denotations, Grammar, Tree, evaluate, rules_of
from lxmert.scenes.words import words_with_places

Kind = Literal["towers", "scattered"]
Words = tuple[str, ...]
READING_ROUNDS = 3
LEAST_AGREEMENT = 0.7  # with its labels, for a reading to be kept
LABEL_ODDS = 3.0  # a label that a reading does not fit is wrong in about one of twenty examples: odds of e^3
UNUSED_WEIGHT = -8.0  # of a rule that no chosen reading uses
SINGULAR = frozenset({"a", "an", "one", "1", "single", "is", "has", "each", "every"})
MOST_WORDS = 26  # of a recombined sentence
MOST_EXCHANGES_DEEP = 12  # phrases that lie deeper in a tree are not exchanged
MOST_TRIES = 1000  # to draw a sentence that is short enough


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
    """(S,) of bool, whether a scene holds towers: squares on each other in the middle of their boxes."""
    tower = ~scenes.present | ((scenes.shape == 0) & (scenes.size == 20) & (scenes.x == 40))
    return tower.all((-2, -1))


def read_sentences(
    texts: Sequence[str], scenes: Scenes, truths: np.ndarray, progress: bool = True, grammar: Grammar | None = None
) -> list[Meant]:
    """The sentences that the grammar can read, each with the reading that fits the labels of its examples best.

    Of readings that fit alike, the one whose rules are used most wins; how often they are follows from the others'
    readings, in a few rounds.

    Args:
        texts: of the examples, with repetitions.
        scenes: of the examples.
        truths: (S,) of bool, labels of the examples.
        progress: show a bar with time left.
        grammar: to read with; by default that of NLVR's sentences.

    Returns:
        Without sentences that no reading fits well enough: seven of ten labels at least.

    Raises:
        ValueError: no examples, not as many texts as scenes and labels, or nothing that could be read.
    """
    truths = np.asarray(truths, bool)
    if not len(texts) or not len(texts) == len(scenes) == len(truths):
        raise ValueError(
            f"Every example has a text, a scene and a label, and there must be some; these are {len(texts)} texts, "
            f"{len(scenes)} scenes and {len(truths)} labels."
        )
    grammar = grammar or nlvr_grammar()
    towers = kind_of(scenes)
    rows: dict[Words, list[int]] = defaultdict(list)
    placed: dict[Words, tuple[str, tuple[int, ...]]] = {}
    for row, text in enumerate(texts):
        words, places = _words(text)
        rows[words].append(row)
        placed.setdefault(words, (text, places))
    candidates: dict[tuple[str, ...], list[Reading]] = {}
    for words, of in tqdm(rows.items(), desc="Reading sentences", unit=" sentences", disable=not progress):
        if readings := _readings(grammar, words, scenes[of], truths[of]):
            candidates[words] = readings
    chosen = _choose(grammar, candidates, {words: len(of) for words, of in rows.items()})
    found = []
    for words, reading in chosen.items():
        if reading.agreement >= LEAST_AGREEMENT:
            kind: Kind = "towers" if towers[rows[words]].mean() > 0.5 else "scattered"
            found.append(Meant(placed[words][0], words, placed[words][1], reading.tree, kind, len(rows[words])))
    if not found:
        raise ValueError(
            f"None of {len(rows)} sentences could be read, the first is {texts[0]!r}; pass sentences of NLVR v1 in "
            "English, each with the scene and the label of its own example."
        )
    return found


class Reading(NamedTuple):
    """One reading of a sentence.

    Args:
        agreement: share of labels that it fits.
        tree: the reading.
        rules: numbers of the rules in the tree.
    """

    agreement: float
    tree: Tree
    rules: list[int]


def _readings(grammar: Grammar, words: Sequence[str], scenes: Scenes, truths: np.ndarray) -> list[Reading]:
    found = []
    for tree in grammar.parse(words):
        value, _ = evaluate(tree, scenes)
        found.append(Reading(float((value == truths).mean()), tree, rules_of(tree)))
    return found


def _choose(
    grammar: Grammar, candidates: Mapping[Words, Sequence[Reading]], examples: Mapping[Words, int]
) -> dict[Words, Reading]:
    usage: dict[int, float] = {}
    chosen: dict[Words, Reading] = {}
    for _ in range(READING_ROUNDS):
        counts: Counter[int] = Counter()
        for words, readings in candidates.items():
            fits = [_fit(reading, usage, examples[words]) for reading in readings]
            chosen[words] = readings[fits.index(max(fits))]
            for number in chosen[words].rules:
                counts[number] += examples[words]
        usage = log_weights(grammar, counts)
    return chosen


def _fit(reading: Reading, usage: Mapping[int, float], examples: int) -> float:
    """The logarithm of how likely the labels and the reading are, up to a constant."""
    likely = sum(usage.get(number, UNUSED_WEIGHT) for number in reading.rules)
    return LABEL_ODDS * reading.agreement * examples + likely


def log_weights(grammar: Grammar, counts: Mapping[int, float]) -> dict[int, float]:
    """The logarithm of each used rule's share among the rules of its symbol, by the rules' numbers."""
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

    Raises:
        ValueError: no sentences.
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
        if not self.sentences:
            raise ValueError("There are no sentences to recombine; read some with read_sentences.")
        self.weights = {kind: [s.weight**0.5 for s in found] for kind, found in self.sentences.items()}

    def _collect(self, kind: str, tree: Tree, words: tuple[str, ...]) -> None:
        self.phrases[kind][_form(tree, words)].append((tree, words))
        for child in tree.children:
            self._collect(kind, child, words)

    def draw(self, generator: random.Random, kind: Kind) -> Meant:
        """A new sentence about scenes of a kind.

        Raises:
            ValueError: no sentence of this kind was given, or none that is short enough.
        """
        if not self.sentences.get(kind):
            raise ValueError(f"No sentence speaks of {kind}; choose the kind of one that was given.")
        for _ in range(MOST_TRIES):
            source = generator.choices(self.sentences[kind], self.weights[kind])[0]
            words: list[str] = []
            tree = self._copy(generator, kind, source.tree, source.words, words, depth=0)
            if len(words) <= MOST_WORDS:
                text = " ".join(words)
                places = tuple(len(" ".join(words[:i])) + bool(i) for i in range(len(words)))
                return Meant(text, tuple(words), places, tree, kind)
        raise ValueError(f"All sentences about {kind} have more than {MOST_WORDS} words; give shorter ones, too.")

    def _copy(
        self, generator: random.Random, kind: str, tree: Tree, source: tuple[str, ...], words: list[str], depth: int
    ) -> Tree:
        chance = self.exchange_word if tree.end - tree.start == 1 else self.exchange
        if depth and depth < MOST_EXCHANGES_DEEP and generator.random() < chance:
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
        {"many" for word in phrase if (word.endswith("s") and word not in ("is", "has")) or word in ("are", "have")}
    )
    return (tree.rule.symbol, *singular, *plural)
