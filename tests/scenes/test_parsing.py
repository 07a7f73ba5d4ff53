import numpy as np
import pytest

from lxmert.scenes.parsing import MOST_TREES, Grammar, Table, Tree, evaluate, rules_of

SHAPE = (2, 3, 8)
LEFT, RIGHT = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
LEFT[..., :4] = True
TOY: Table = {
    "S": [("[the] N BE big", lambda _, mask: mask.any((-1, -2))), ("not S", lambda _, truth: ~truth)],
    "N": [("^thing / red ^thing|things", lambda scenes: scenes), ("^N2 of N", lambda _, a, b: a & b)],
    "N2": [("left ^one", lambda _: LEFT), ("ANY ^one", lambda _: RIGHT)],
    "ANY": [("any", None)],
    "BE": [("is / are", None)],
}


@pytest.fixture(scope="module")
def toy() -> Grammar:
    return Grammar(TOY)


def drawn(tree: Tree) -> tuple:
    return (tree.rule.symbol, tree.start, tree.end, *map(drawn, tree.children))


def test_patterns_are_written_out(toy: Grammar) -> None:
    assert [rule.parts for rule in toy.by_symbol["S"]] == [("N", "BE", "big"), ("the", "N", "BE", "big"), ("not", "S")]
    heads = [(rule.parts, rule.head) for rule in toy.by_symbol["N"]]
    assert heads == [(("thing",), 0), (("red", "thing"), 1), (("red", "things"), 1), (("N2", "of", "N"), 0)]
    assert [rule.number for rule in toy.rules] == list(range(len(toy.rules)))
    assert toy.by_symbol["N"][1].name == "N: red ^thing|things"
    assert toy.words == {"the", "big", "not", "thing", "red", "things", "of", "left", "one", "any", "is", "are"}


def test_trees(toy: Grammar) -> None:
    (tree,) = toy.parse(["not", "the", "left", "one", "of", "thing", "is", "big"])
    assert drawn(tree) == (
        *("S", 0, 8),
        ("S", 1, 8, ("N", 2, 6, ("N2", 2, 4), ("N", 5, 6)), ("BE", 6, 7)),
    )
    assert [toy.rules[number].symbol for number in rules_of(tree)] == ["S", "S", "N", "N2", "N", "BE"]
    assert toy.parse(["the", "thing", "is"]) == []
    assert toy.parse(["the", "thing", "is", "big", "now"]) == []
    assert toy.parse([]) == []
    assert [drawn(tree) for tree in toy.parse(["red", "things"], "N")] == [("N", 0, 2)]


def test_values_and_what_heads_mean(toy: Grammar) -> None:
    scenes = np.zeros(SHAPE, bool)
    scenes[0, 0, 7] = True
    for text, truth in [("thing is big", [True, False]), ("left one of thing is big", [False, False])]:
        value, meant = evaluate(toy.parse(text.split())[0], scenes)
        assert value.tolist() == truth
    assert meant.keys() == {1, 3}, "`one` heads the left one and all of the phrase, `thing` its own"
    assert (meant[1] == LEFT & scenes).all(), "the larger phrase with the same head"
    assert (meant[3] == scenes).all()
    value, _ = evaluate(toy.parse(["not", "thing", "is", "big"])[0], scenes)
    assert value.tolist() == [False, True]


def test_head_behind_phrases() -> None:
    grammar = Grammar({"S": [("NO NO ^thing NO", lambda _: LEFT)], "NO": [("oh", None), ("oh my", None)]})
    (tree,) = grammar.parse(["oh", "my", "oh", "thing", "oh"])
    assert evaluate(tree, None)[1].keys() == {3}


def test_ambiguity() -> None:
    grammar = Grammar({"S": [("a", lambda _: 1), ("a", lambda _: 2), ("a S", lambda _, value: 10 * value)]})
    assert [evaluate(tree, None)[0] for tree in grammar.parse(["a", "a"])] == [10, 20]


def test_the_number_of_trees_is_limited() -> None:
    grammar = Grammar({"S": [("a", lambda _: 1)] * 3 + [("a S", lambda _, value: value)] * 3})
    assert len(grammar.parse(["a"] * 2)) == 9
    assert len(grammar.parse(["a"] * 8)) == MOST_TREES


def test_a_symbol_that_begins_with_itself_ends() -> None:
    grammar = Grammar({"S": [("S a", lambda _, value: value), ("a", lambda _: 1)]})
    assert len(grammar.parse(["a"])) == 1


def test_errors(toy: Grammar) -> None:
    with pytest.raises(ValueError, match="No rule writes M, O; add a row to a table"):
        Grammar({"S": [("O of M", None)]})
    with pytest.raises(ValueError, match="Two tables write the symbol S; join their rules"):
        Grammar({"S": [("a", None)]}, {"S": [("b", None)]})
    with pytest.raises(ValueError, match=r"The pattern '\^a \^b' of S has 2 heads; mark one"):
        Grammar({"S": [("^a ^b", None)]})
    with pytest.raises(ValueError, match="No rule writes the symbol 'X'; choose one of S, N, N2"):
        toy.parse(["thing"], "X")
