"""A context-free grammar with meanings: sentences are parsed into trees, drawn from it, and trees computed on scenes."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np

Meaning = Callable[..., Any]
MOST_TREES = 24  # kept for each symbol and span
MOST_DEPTH = 30


class Rule(NamedTuple):
    """One way to write a symbol.

    Args:
        number: its position in the grammar.
        symbol: what it writes, in capitals.
        parts: words in small letters and symbols in capitals.
        meaning: called with the scenes and the values of the symbols among the parts.
        head: the part that carries the phrase's regions, or None.
        name: of the meaning's reading, for statistics.
    """

    number: int
    symbol: str
    parts: tuple[str, ...]
    meaning: Meaning
    head: int | None
    name: str


class Tree(NamedTuple):
    """A parsed phrase: its rule, the words [start, end) that it spans, and the trees of its symbols."""

    rule: Rule
    start: int
    end: int
    children: tuple[Any, ...]


@dataclass
class Grammar:
    """Rules by symbol.

    Args:
        rules: all of them.
        by_symbol: the same, by what they write.
    """

    rules: list[Rule] = field(default_factory=list)
    by_symbol: dict[str, list[Rule]] = field(default_factory=dict)

    def add(self, symbol: str, patterns: str, meaning: Meaning) -> None:
        """Add rules.

        Args:
            symbol: what they write.
            patterns: ways to write it, separated by ` / `; `[x]` may be left out, `a|b` is either word, `^` marks the
                head.
            meaning: shared by all of them.
        """
        for pattern in patterns.split(" / "):
            for parts in _expand(pattern):
                heads = [index for index, part in enumerate(parts) if part.startswith("^")]
                rule = Rule(
                    len(self.rules),
                    symbol,
                    tuple(part.lstrip("^") for part in parts),
                    meaning,
                    heads[0] if heads else None,
                    f"{symbol}: {pattern}",
                )
                self.rules.append(rule)
                self.by_symbol.setdefault(symbol, []).append(rule)

    def parse(self, words: Sequence[str], symbol: str = "S") -> list[Tree]:
        """All trees (up to a limit) that span all words."""
        return _Parser(self, words).of(symbol, 0).get(len(words), [])

    def draw(
        self, generator: random.Random, weights: Mapping[int, float], symbol: str = "S"
    ) -> tuple[list[str], Tree] | None:
        """A random sentence and its tree; None where it grew too deep.

        Args:
            generator: draws.
            weights: of rules, by number; rules without one are not used.
            symbol: what is written.
        """
        words: list[str] = []
        tree = self._draw(generator, weights, symbol, words, 0)
        return None if tree is None else (words, tree)

    def _draw(
        self, generator: random.Random, weights: Mapping[int, float], symbol: str, words: list[str], depth: int
    ) -> Tree | None:
        rules = [rule for rule in self.by_symbol[symbol] if rule.number in weights]
        if depth > MOST_DEPTH or not rules:
            return None
        rule = generator.choices(rules, [weights[rule.number] for rule in rules])[0]
        start, children = len(words), []
        for part in rule.parts:
            if part.isupper():
                child = self._draw(generator, weights, part, words, depth + 1)
                if child is None:
                    return None
                children.append(child)
            else:
                words.append(part)
        return Tree(rule, start, len(words), tuple(children))


def _expand(pattern: str) -> list[tuple[str, ...]]:
    choices = []
    for token in re.findall(r"\[[^\]]*\]|\S+", pattern):
        if token.startswith("["):
            choices.append([(), *(tuple(option.split()) for option in token[1:-1].split("|"))])
        else:
            mark = "^" if token.startswith("^") else ""
            choices.append([(mark + option,) for option in token.lstrip("^").split("|")])
    return [tuple(part for parts in chosen for part in parts) for chosen in product(*choices)]


class _Parser:
    """Parses one sentence, each symbol at each place once."""

    def __init__(self, grammar: Grammar, words: Sequence[str]):
        self.grammar, self.words = grammar, words
        self.found: dict[tuple[str, int], dict[int, list[Tree]]] = {}

    def of(self, symbol: str, start: int) -> dict[int, list[Tree]]:
        """The trees of a symbol that begin here, by where they end."""
        key = symbol, start
        if key not in self.found:
            self.found[key] = {}  # a symbol that begins with itself finds nothing
            trees: dict[int, list[Tree]] = {}
            for rule in self.grammar.by_symbol[symbol]:
                for end, children in self._parts(rule.parts, 0, start):
                    kept = trees.setdefault(end, [])
                    if len(kept) < MOST_TREES:
                        kept.append(Tree(rule, start, end, children))
            self.found[key] = trees
        return self.found[key]

    def _parts(self, parts: tuple[str, ...], index: int, start: int) -> list[tuple[int, tuple[Tree, ...]]]:
        if index == len(parts):
            return [(start, ())]
        part = parts[index]
        if not part.isupper():
            if start < len(self.words) and self.words[start] == part:
                return self._parts(parts, index + 1, start + 1)
            return []
        if start >= len(self.words):
            return []
        found = []
        for end, trees in self.of(part, start).items():
            rests = self._parts(parts, index + 1, end)
            for tree in trees:
                found.extend((last, (tree, *rest)) for last, rest in rests)
        return found


class Denotations(dict[int, np.ndarray]):
    """Which regions the word at a position means: (S, 3, 8) objects or (S, 3) boxes."""


def evaluate(tree: Tree, scenes: Any) -> tuple[Any, Denotations]:
    """The value of a tree on scenes, and what the heads of its phrases mean."""
    meant = Denotations()
    value, _ = _evaluate(tree, scenes, meant)
    return value, meant


def _evaluate(tree: Tree, scenes: Any, meant: Denotations) -> tuple[Any, int | None]:
    rule = tree.rule
    values, heads = [], []
    for child in tree.children:
        value, head = _evaluate(child, scenes, meant)
        values.append(value)
        heads.append(head)
    value = rule.meaning(scenes, *values)
    if rule.head is None:
        return value, None
    part = rule.parts[rule.head]
    if part.isupper():
        head = heads[sum(other.isupper() for other in rule.parts[: rule.head])]
    else:
        place, child = tree.start, 0
        for other in rule.parts[: rule.head]:
            if other.isupper():
                place = tree.children[child].end
                child += 1
            else:
                place += 1
        head = place
    if head is not None and isinstance(value, np.ndarray) and value.dtype == bool and value.ndim in (2, 3):
        meant[head] = value
    return value, head


def rules_of(tree: Tree) -> list[int]:
    """The numbers of all rules in a tree."""
    return [tree.rule.number, *(number for child in tree.children for number in rules_of(child))]
