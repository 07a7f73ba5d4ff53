"""Sentences whose truth on small scenes is known: the reading that these labels choose must fit all of them."""

import dataclasses
import inspect
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lxmert.scenes import COLOURS, SIDE, Scenes, random_scattered, random_towers, read_sentences
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import Tree, evaluate
from lxmert.scenes.words import split_words
from tests.scenes.notation import scenes_of

TOWERS = [
    # numbers of things
    ("There are exactly two towers with a yellow base", ["yb y k", "yk yy b"], ["y b k", "y y y"]),
    ("There are two yellow blocks", ["y yb k"], ["y b k"]),
    ("there are at least three blue blocks", ["bb b y", "bbb bb y"], ["bb y y", "yy k y"]),
    ("there are at most two towers with a black block", ["k kk y", "b b b"], ["k kk ky"]),
    ("there are more than two towers with two blocks", ["yb kk by"], ["yb kk y", "ybb kk yk"]),
    ("there is no black block", ["y b yb"], ["y b ybk"]),
    ("there is not more than one yellow block", ["y b k", "b b b"], ["y y k", "yy b k"]),
    ("there are less than three black blocks", ["kk b y", "y y y"], ["kk k y", "kkk k b"]),
    ("there are multiple towers with a blue block", ["b yb k"], ["b y k", "y y y"]),
    ("There is a tower with four blocks", ["yyyy b k"], ["yyy b k"]),
    ("there is odd number of blocks", ["y b k", "yyy b k"], ["yy b k"]),
    # only, exactly
    ("there is a tower with only black blocks", ["kk yb y", "k y y"], ["kb yb y"]),
    ("There is exactly one tower with a single block", ["y bb kk"], ["y b kk", "yy bb kk"]),
    ("there is only one black block", ["k b y"], ["kk b y", "k k y", "b b y"]),
    ("there is exactly one black tower", ["kk y b"], ["k k b", "y yk b"]),
    ("there is a tower that has only blue and yellow blocks", ["by k k"], ["bky k k", "b k k"]),
    # tops and bases
    ("there is a tower with a black top", ["yk b b"], ["ky b b"]),
    ("the base of every tower is blue", ["by b bk"], ["by yb b"]),
    ("there is a tower with a yellow block at the base", ["yb b b"], ["by b b"]),
    ("there are two towers where the base is black and the top is blue", ["kb kyb y"], ["kb by y", "kb y y"]),
    ("there is a tower where the top and the base are blue", ["byb k k"], ["by k yb"]),
    ("There is a tower with a black block and a yellow block on top of it", ["ky b b"], ["yk b b", "k y y"]),
    ("there is a box with a yellow base and a blue block right on top of it", ["yb k k"], ["ykb k k", "y b k"]),
    ("there is a box with a yellow base and black top", ["ybk b b"], ["kby b b", "yb k b"]),
    ("all the top of the towers are yellow", ["y by ky"], ["y by yk"]),
    ("the tops of the towers are blue", ["b yb kb"], ["b yb bk"]),
    ("the bases of the towers are blue", ["b by bk"], ["b yb bk"]),
    ("two of the towers top are blue", ["b yb ky"], ["b yb kb", "b by ky"]),
    ("there are exactly two towers with the same base color", ["yk yb b"], ["yk b k", "y yb yy"]),
    # each box
    ("all towers have a yellow block", ["y yb ky"], ["y b y"]),
    ("each tower has at least two blocks", ["yy bb kkk"], ["y bb kk"]),
    ("every box contains a blue block", ["b yb b"], ["b b y"]),
    ("at least one tower has exactly one block", ["y bb kk"], ["yy bb kk"]),
    ("one of the towers has two blue blocks", ["bb y y"], ["b y b"]),
    ("there is a black block in each tower", ["k ky bk"], ["k k y"]),
    ("there are blocks of all three colors in a tower", ["ybk b b"], ["yb k b"]),
    ("each black tower has two blocks", ["kk y b", "kk kk y"], ["kk k y"]),
    ("there are two black blocks stacked together", ["ykk b y"], ["yk k y", "kyk y b"]),
    ("there is a black block in the middle", ["yky b b"], ["kyy b b", "yyk k k"]),
    # the same and different
    ("no towers have the same height", ["y bb kkk"], ["y b kkk", "y b k"]),
    ("there is a tower with blocks of the same color", ["bb yk ky"], ["by yk ky"]),
    ("there is a tower with blocks of different colors", ["by k k"], ["bb k k"]),
    ("there is a tower with all three colors", ["ybk b b"], ["yb k b"]),
    ("there is a tower with exactly two different colors", ["ybb k k"], ["ybk b b", "y b k"]),
    ("all towers have the same height", ["yy bb ky"], ["yy b kk"]),
    ("exactly two towers have the same height", ["yy bk y"], ["yy bk kk", "y yy kkk"]),
    ("exactly two towers have the same base", ["yk yb b"], ["yk b k", "y y y"]),
    # relations
    ("there is a black block on a blue block", ["bk y y"], ["kb y y", "b k y"]),
    ("there is a yellow block above a black block", ["kby b b", "ky b b"], ["yk b b", "y k b"]),
    ("there is a blue block below a yellow block", ["by k k"], ["yb k k"]),
    ("there is a black block between two yellow blocks", ["yky b b"], ["yyk y y", "yk y b"]),
    ("there is a black block right below a yellow block", ["ky b b"], ["yk b b", "kby k k"]),
    ("there is a black block between two blocks", ["yky b b", "ykb b b"], ["yyk y y", "kyk y b"]),
    ("there is a yellow block between blue blocks", ["byb k k"], ["bbyk k k"]),
]

SCATTERED = [
    # numbers and shapes
    ("there are two circles", ["yc20@0,0 bc10@50,50 | | "], ["yc20@0,0 | | ", "| | ks10@0,0"]),
    (
        "there is a box with 3 items of which two are yellow",
        ["ys10@9,9 yc10@30,30 bt10@50,50 | | "],
        ["ys10@9,9 bc10@30,30 bt10@50,50 | | "],
    ),
    (
        "there is a box with 2 squares of which one is yellow",
        ["ys10@9,9 ks10@30,30 yc10@50,50 | | "],
        ["ks10@9,9 ks10@30,30 yc10@50,50 | | "],
    ),
    ("there is a small blue triangle", ["bt10@30,30 | | "], ["bt20@30,30 | | ", "yt10@30,30 | bs10@20,20 | "]),
    ("there is a big square that is not yellow", ["bs30@30,30 | | "], ["ys30@30,30 | | ", "bs10@30,30 | | "]),
    (
        "there is a box with only triangles",
        ["bt10@30,30 yt10@50,50 | yc10@9,9 | "],
        ["bt10@30,30 yc10@50,50 | yc10@9,9 | "],
    ),
    ("there is a yellow circle and a black square", ["yc10@9,9 | ks10@9,9 | "], ["yc10@9,9 | kt10@9,9 | "]),
    ("no box has a circle", ["ys10@9,9 | ks10@9,9 | "], ["yc10@9,9 | ks10@9,9 | "]),
    # walls
    ("there is a black item touching the wall", ["ks10@0,40 | | "], ["ks10@40,40 ys10@0,9 | | "]),
    ("there is a circle touching the base", ["yc20@40,80 | | "], ["yc20@80,40 | | ", "ys20@40,80 | | "]),
    ("there are two yellow squares touching the edge", ["ys10@90,9 | ys10@9,0 | "], ["ys10@90,9 | ys10@9,9 | "]),
    ("there is a square touching the right wall", ["ys20@80,30 | | "], ["ys20@0,30 | | "]),
    ("there is a blue circle touching the corner", ["bc10@0,90 | | "], ["bc10@0,40 | | ", "yc10@0,90 bc10@40,0 | | "]),
    (
        "there is a triangle touching the bottom right corner of a box",
        ["kt20@80,80 | | "],
        ["kt20@0,80 | | ", "kt20@80,30 | | "],
    ),
    ("there is a box with a black item not touching the wall", ["ks10@40,40 | | "], ["ks10@0,40 | | "]),
    ("there is a yellow item nearly touching the wall", ["ys10@4,40 | | "], ["ys10@0,40 | | ", "ys10@40,40 | | "]),
    ("there is a triangle touching the top", ["kt20@40,0 | | "], ["kt20@0,40 | | ", "kt20@40,80 | | "]),
    # relations
    (
        "there is a black circle touching a blue square",
        ["kc20@0,0 bs20@21,0 | | "],
        ["kc20@0,0 bs20@60,0 | | ", "kc20@0,0 | bs20@0,0 | "],
    ),
    ("there is a box with two circles touching each other", ["kc20@0,0 yc20@21,0 | | "], ["kc20@0,0 yc20@70,0 | | "]),
    (
        "there is a circle above a square",
        ["kc20@0,0 bs20@5,50 | | "],
        ["bs20@0,0 kc20@5,50 | | ", "kc20@0,0 bs20@50,50 | | "],
    ),
    # boxes
    (
        "there is a box with a yellow square and two black items",
        ["ys10@9,9 kt10@30,30 kc10@50,50 | | "],
        ["ys10@9,9 kt10@30,30 | kc10@50,50 | "],
    ),
    (
        "there are at least two boxes with a black circle",
        ["kc10@9,9 | kc10@9,9 ys10@30,30 | "],
        ["kc10@9,9 kc10@40,40 | yc10@9,9 | "],
    ),
    (
        "there is exactly one black item not touching any edge",
        ["ks10@40,40 ks10@0,40 | | "],
        ["ks10@40,40 | ks10@40,40 | ", "ks10@0,40 | | "],
    ),
    (
        "there is a box with items of only two colors",
        ["ys10@9,9 kt10@30,30 | ks10@9,9 | "],
        ["ys10@9,9 kt10@30,30 bc10@50,50 | ks10@9,9 | "],
    ),
    (
        "there is a box with items of the same shape",
        ["ys10@9,9 ks10@30,30 | ks10@9,9 yt10@30,30 | "],
        ["ys10@9,9 kt10@30,30 | ks10@9,9 yt10@30,30 | "],
    ),
    (
        "there is a box with two items and both are black",
        ["ks10@9,9 kt10@30,30 | | "],
        ["ks10@9,9 yt10@30,30 | kc10@9,9 | "],
    ),
    (
        "the circle in a box with two items is black",
        ["kc10@9,9 ys10@30,30 | yc10@9,9 | "],
        ["yc10@9,9 ys10@30,30 | kc10@9,9 | "],
    ),
    ("all the circles are black", ["kc10@9,9 ys10@30,30 | kc10@9,9 | "], ["kc10@9,9 | yc10@9,9 | "]),
]


SENTENCES = [sentence for sentence, _, _ in TOWERS + SCATTERED]


@pytest.mark.parametrize(("sentence", "true", "false"), TOWERS + SCATTERED)
def test_truth(sentence: str, true: list[str], false: list[str]) -> None:
    scenes = scenes_of(*true, *false)
    labels = np.array([True] * len(true) + [False] * len(false))
    many = np.tile(np.arange(len(labels)), 20)  # so many that labels outweigh short readings
    (meant,) = read_sentences([sentence] * len(many), scenes[many], labels[many], progress=False)
    truth, _ = meant.evaluate(scenes)
    assert truth.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("sentence", "word", "objects"),
    [
        ("there is a tower with a black block on a blue block", "block", [(0, 0), (1, 1)]),
        ("there is a tower with a black block on a blue block", "black", [(0, 0), (1, 1), (2, 1)]),
        ("there are two blue towers", "blue", [(0, 1), (1, 0), (1, 2)]),
    ],
)
def test_what_words_mean(sentence: str, word: str, objects: list[tuple[int, int]]) -> None:
    scenes = scenes_of("bk bkb ky")  # slots count from the top
    words = split_words(sentence)
    found = [evaluate(tree, scenes)[1].get(words.index(word)) for tree in nlvr_grammar().parse(words)]
    assert [list(place) for place in objects] in [np.argwhere(mask[0]).tolist() for mask in found if mask is not None]


def test_boxes_that_words_mean() -> None:
    words = split_words("there are two towers with a black top")
    found = [evaluate(tree, scenes_of("bk bkb k"))[1] for tree in nlvr_grammar().parse(words)]
    assert all(meant[words.index("towers")].shape == (1, 3) for meant in found)
    assert [[True, False, True]] in [meant[words.index("towers")].tolist() for meant in found]


def test_several_readings_of_a_number() -> None:
    scenes = scenes_of("y b k", "y y k", "y y y")
    values = {
        tuple(evaluate(tree, scenes)[0].tolist())
        for tree in nlvr_grammar().parse(split_words("there are two yellow blocks"))
    }
    assert {(False, True, False), (False, True, True)} <= values, "exactly two, and at least two"


def test_meanings_take_what_their_rules_give() -> None:
    grammar = nlvr_grammar()
    silent = {symbol for symbol, rules in grammar.by_symbol.items() if all(rule.meaning is None for rule in rules)}
    for rule in grammar.rules:
        if rule.symbol in silent:
            continue
        assert rule.meaning is not None, f"only some rules of {rule.symbol} have a meaning"
        values = [part for part in rule.parts if part.isupper() and part not in silent]
        inspect.signature(rule.meaning).bind(None, *values)


def test_every_symbol_is_used_and_no_row_is_there_twice() -> None:
    grammar = nlvr_grammar()
    used = {part for rule in grammar.rules for part in rule.parts}
    assert grammar.by_symbol.keys() - used == {"S"}
    rows = [(rule.symbol, rule.parts, rule.meaning) for rule in grammar.rules if rule.symbol != "Q"]
    assert len(set(rows)) == len(rows)
    assert nlvr_grammar() is grammar


@cache
def readings_of(sentence: str) -> list[Tree]:
    return nlvr_grammar().parse(split_words(sentence))


def values_of(sentence: str, scenes: Scenes) -> list[list[bool]]:
    return [evaluate(tree, scenes)[0].tolist() for tree in readings_of(sentence)]


def changed(scenes: Scenes, **arrays: np.ndarray) -> Scenes:
    return dataclasses.replace(scenes, **arrays)


def random_scenes(sentence: str, seed: int) -> Scenes:
    """Of the kind that the sentence speaks of: which of several objects on one level is the base is left open."""
    draw = random_towers if sentence in [text for text, _, _ in TOWERS] else random_scattered
    return draw(12, np.random.default_rng(seed))


# A busy machine is no failure.
unhurried = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds, sentences = st.integers(0, 10_000), st.sampled_from(SENTENCES)


@unhurried
@given(sentences, seeds)
def test_a_mirror_changes_nothing_but_left_and_right(sentence: str, seed: int) -> None:
    scenes = random_scenes(sentence, seed)
    swapped = sentence.replace("right wall", "left wall").replace("right corner", "left corner")  # not `right below`
    mirrored = changed(scenes, x=np.where(scenes.present, SIDE - scenes.x - scenes.size, scenes.x))
    assert values_of(sentence, scenes) == values_of(swapped, mirrored)


@unhurried
@given(sentences, seeds, st.permutations(range(3)), st.permutations(range(8)))
def test_the_order_of_boxes_and_objects_means_nothing(
    sentence: str, seed: int, boxes: list[int], slots: list[int]
) -> None:
    scenes = random_scenes(sentence, seed)
    arrays = {name: getattr(scenes, name)[:, boxes][..., slots] for name in ("shape", "colour", "size", "x", "y")}
    assert values_of(sentence, scenes) == values_of(sentence, Scenes(**arrays))


@unhurried
@given(sentences, seeds, st.permutations(range(3)))
def test_colours_may_be_exchanged_in_sentence_and_scene(sentence: str, seed: int, colours: list[int]) -> None:
    scenes = random_scenes(sentence, seed)
    names = {COLOURS[old]: COLOURS[new] for old, new in enumerate(colours)}
    exchanged = " ".join(names.get(word, word) for word in split_words(sentence))
    painted = np.where(scenes.present, np.array(colours)[scenes.colour], scenes.colour)
    assert values_of(sentence, scenes) == values_of(exchanged, changed(scenes, colour=painted))
