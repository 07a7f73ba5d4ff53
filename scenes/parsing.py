"""A context-free grammar with meanings: it parses sentences, and their trees are computed on scenes."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

Meaning = Callable[..., Any]
Table = Mapping[str, Sequence[tuple[str, Meaning | None]]]  # by symbol: how it is written, and what that means
MOST_TREES = 24  # kept for each symbol and span


class Rule(NamedTuple):
    """One way to write a symbol.

    Args:
        number: its position in the grammar.
        symbol: what it writes, in capitals.
        parts: words in small letters and symbols in capitals.
        meaning: called with the scenes and the values of those symbols among the parts that have one; None for words
            without a meaning of their own.
        head: the part that carries the phrase's regions, or None.
        name: of the meaning's reading, for statistics.
    """

    number: int
    symbol: str
    parts: tuple[str, ...]
    meaning: Meaning | None
    head: int | None
    name: str


class Tree(NamedTuple):
    """A parsed phrase: its rule, the words [start, end) that it spans, and the trees of its symbols."""

    rule: Rule
    start: int
    end: int
    children: tuple[Any, ...]


class Grammar:
    """Rules in the order of their numbers, all and by symbol.

    Args:
        tables: by symbol, pairs of patterns and their meaning. Several patterns are separated by ` / `; symbols are in
            capitals, words in small letters; `[x|y]` is either phrase or nothing, `a|b` is either word, `^` marks the
            head, whose position stands for the regions that the phrase means.

    Raises:
        ValueError: two tables that write the same symbol, a symbol that no rule writes, or two heads.
    """

    def __init__(self, *tables: Table):
        self.rules: list[Rule] = []
        self.by_symbol: dict[str, list[Rule]] = {}
        for table in tables:
            for symbol, rows in table.items():
                if symbol in self.by_symbol:
                    raise ValueError(f"Two tables write the symbol {symbol}; join their rules in one.")
                self.by_symbol[symbol] = []
                for patterns, meaning in rows:
                    self._add(symbol, patterns, meaning)
        wanted = {part for rule in self.rules for part in rule.parts if part.isupper()}
        if missing := sorted(wanted - self.by_symbol.keys()):
            raise ValueError(
                f"No rule writes {', '.join(missing)}; add a row to a table or write words in small letters."
            )

    def _add(self, symbol: str, patterns: str, meaning: Meaning | None) -> None:
        for pattern in patterns.split(" / "):
            for parts in _expand(pattern):
                heads = [index for index, part in enumerate(parts) if part.startswith("^")]
                if len(heads) > 1:
                    raise ValueError(
                        f"The pattern {pattern!r} of {symbol} has {len(heads)} heads; mark one part with ^."
                    )
                plain = tuple(part.lstrip("^") for part in parts)
                head = heads[0] if heads else None
                rule = Rule(len(self.rules), symbol, plain, meaning, head, f"{symbol}: {pattern}")
                self.rules.append(rule)
                self.by_symbol[symbol].append(rule)

    @property
    def words(self) -> frozenset[str]:
        """All words that some rule writes."""
        return frozenset(part for rule in self.rules for part in rule.parts if not part.isupper())

    def parse(self, words: Sequence[str], symbol: str = "S") -> list[Tree]:
        """All trees that span all words, up to 24 for each phrase.

        Raises:
            ValueError: a symbol that no rule writes.
        """
        self._check(symbol)
        return _Parser(self, words).of(symbol, 0).get(len(words), [])

    def _check(self, symbol: str) -> None:
        if symbol not in self.by_symbol:
            raise ValueError(f"No rule writes the symbol {symbol!r}; choose one of {', '.join(self.by_symbol)}.")


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
        """The trees of a symbol that begin at a word, by where they end."""
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
        found: list[tuple[int, tuple[Tree, ...]]] = []
        for end, trees in self.of(part, start).items():
            rests = self._parts(parts, index + 1, end)
            for tree in trees:
                found.extend((last, (tree, *rest)) for last, rest in rests)
        return found


class Denotations(dict[int, np.ndarray]):
    """Which regions the word at a position means: (S, 3, 8) objects or (S, 3) boxes."""


def evaluate(tree: Tree, scenes: Any) -> tuple[Any, Denotations]:
    """The value of a tree on scenes, and what the heads of its phrases mean.

    Args:
        tree: of any symbol.
        scenes: handed to the meanings of the rules; they decide what it must be.

    Returns:
        The value, and by position of a word the mask of the last, largest phrase whose head it is. Values other than
        masks of objects (S, 3, 8) or boxes (S, 3) are not kept.
    """
    meant = Denotations()
    value, _ = _evaluate(tree, scenes, meant)
    return value, meant


def _evaluate(tree: Tree, scenes: Any, meant: Denotations) -> tuple[Any, int | None]:
    rule = tree.rule
    values, heads = [], []
    for child in tree.children:
        value, head = _evaluate(child, scenes, meant)
        if value is not None:
            values.append(value)
        heads.append(head)
    value = None if rule.meaning is None else rule.meaning(scenes, *values)
    if rule.head is None:
        return value, None
    before = rule.parts[: rule.head]
    symbols = sum(part.isupper() for part in before)
    if rule.parts[rule.head].isupper():
        head = heads[symbols]
    else:
        spanned = sum(child.end - child.start for child in tree.children[:symbols])
        head = tree.start + len(before) - symbols + spanned
    if head is not None and isinstance(value, np.ndarray) and value.dtype == bool and value.ndim in (2, 3):
        meant[head] = value
    return value, head


def rules_of(tree: Tree) -> list[int]:
    """The numbers of all rules in a tree."""
    return [tree.rule.number, *(number for child in tree.children for number in rules_of(child))]
