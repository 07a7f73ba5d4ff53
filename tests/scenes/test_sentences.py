import json
import random
from collections import Counter

import numpy as np
import pytest

from lxmert.scenes import (
    Meant,
    Recombiner,
    Scenes,
    kind_of,
    random_scattered,
    random_towers,
    read_sentences,
)
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import Grammar, evaluate
from lxmert.scenes.sentences import log_weights
from lxmert.scenes.words import split_words
from tests.conftest import shared_folder
from tests.scenes.conftest import SCATTERED_TEXTS, TOWER_TEXTS, examples
from tests.scenes.notation import scenes_of


def test_sentences_are_read(read: list[Meant]) -> None:
    assert [meant.text for meant in read] == TOWER_TEXTS + SCATTERED_TEXTS
    assert [meant.kind for meant in read] == ["towers"] * 5 + ["scattered"] * 4
    assert {meant.weight for meant in read} == {40}
    first = read[0]
    assert first.words == tuple(split_words(first.text))
    assert [first.text[place:].split()[0].strip(".").lower() for place in first.places] == list(first.words)


def test_labels_choose_the_reading() -> None:
    scenes = scenes_of("y b k", "y y k", "y y y")[np.tile(np.arange(3), 20)]
    text = "there are two yellow blocks"
    for labels in ([False, True, False], [False, True, True]):
        (meant,) = read_sentences([text] * 60, scenes, np.tile(labels, 20), progress=False)
        assert meant.evaluate(scenes[:3])[0].tolist() == labels


def test_readings_that_fit_alike_are_chosen_by_what_others_use() -> None:
    grammar = Grammar(
        {
            "S": [("A / B", lambda _, value: value)],
            "A": [("W", lambda scenes, word: np.full(len(scenes), word in ("either", "first")))],
            "B": [("W", lambda scenes, word: np.full(len(scenes), word in ("either", "second")))],
            "W": [(word, lambda _, word=word: word) for word in ("either", "first", "second")],
        }
    )
    for other, symbol in [("first", "A"), ("second", "B")]:
        texts = ["either"] + [other] * 9
        scenes = scenes_of(*["y b k"] * 10)
        found = read_sentences(texts, scenes, np.ones(10, bool), progress=False, grammar=grammar)
        assert {meant.text: meant.tree.children[0].rule.symbol for meant in found} == {"either": symbol, other: symbol}


def test_sentences_that_no_reading_fits_are_left_out() -> None:
    scenes = random_towers(40, np.random.default_rng(1))
    texts, all_scenes, labels = examples(TOWER_TEXTS[:2], scenes)
    labels = labels.copy()
    labels[40:] = ~labels[40:]
    assert [meant.text for meant in read_sentences(texts, all_scenes, labels, progress=False)] == TOWER_TEXTS[:1]


def test_kinds() -> None:
    scenes = scenes_of("y b k", "ys20@40,80 | bs20@40,80 | ", "ys20@41,80 | | ", "yc20@40,80 | | ", "ys10@40,80 | | ")
    assert kind_of(scenes).tolist() == [True, True, False, False, False]


def test_log_weights() -> None:
    grammar = Grammar({"S": [("a|b|c", None)], "T": [("d|e", None)]})
    weights = log_weights(grammar, {0: 3, 1: 1, 3: 5})
    assert weights == pytest.approx({0: np.log(0.75), 1: np.log(0.25), 3: 0.0})


@pytest.mark.parametrize("kind", ["towers", "scattered"])
def test_recombined_sentences_parse_to_the_same_value(read: list[Meant], kind) -> None:
    recombiner, generator = Recombiner(read, exchange=0.4, exchange_word=0.6), random.Random(0)
    scenes = (random_towers if kind == "towers" else random_scattered)(60, np.random.default_rng(2))
    texts = set()
    for _ in range(60):
        meant = recombiner.draw(generator, kind)
        truth, regions = meant.evaluate(scenes)
        assert meant.text.split() == list(meant.words)
        assert [meant.text[place:].split()[0] for place in meant.places] == list(meant.words)
        trees = nlvr_grammar().parse(meant.words)
        again = [np.broadcast_to(evaluate(tree, scenes)[0], len(scenes)).tolist() for tree in trees]
        assert truth.tolist() in again
        assert regions.keys() <= set(range(len(meant.words)))
        texts.add(meant.text)
    assert len(texts - {" ".join(old.words) for old in read}) > 20


def test_exchanged_phrases_agree_in_number(read: list[Meant]) -> None:
    recombiner, generator = Recombiner(read, exchange=0.4, exchange_word=0.6), random.Random(1)
    drawn = Counter(tuple(recombiner.draw(generator, "scattered").words[:3]) for _ in range(200))
    behind = {verb: {word for _, other, word in drawn if other == verb} for verb in ("is", "are")}
    assert behind == {"is": {"a", "at"}, "are": {"exactly", "two", "three"}}


def test_seeds_and_no_exchange(read: list[Meant]) -> None:
    recombiner = Recombiner(read)
    draws = [[recombiner.draw(random.Random(seed), "towers").text for _ in range(1)] for seed in (3, 3)]
    assert draws[0] == draws[1]
    still, generator = Recombiner(read, exchange=0, exchange_word=0), random.Random(0)
    assert {still.draw(generator, "towers").words for _ in range(60)} == {meant.words for meant in read[:5]}


def test_errors(read: list[Meant]) -> None:
    scenes = random_towers(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="these are 0 texts, 2 scenes and 0 labels"):
        read_sentences([], scenes, np.zeros(0, bool))
    with pytest.raises(ValueError, match="these are 2 texts, 2 scenes and 1 labels"):
        read_sentences(["a", "b"], scenes, np.zeros(1, bool))
    with pytest.raises(ValueError, match=r"None of 1 sentences could be read, the first is 'Das ist gelb\.'; pass"):
        read_sentences(["Das ist gelb."] * 2, scenes, np.ones(2, bool), progress=False)
    with pytest.raises(ValueError, match="no sentences to recombine; read some with read_sentences"):
        Recombiner([])
    with pytest.raises(ValueError, match="No sentence speaks of scattered; choose the kind"):
        Recombiner(read[:5]).draw(random.Random(0), "scattered")
    (tree,) = Grammar({"S": [("x " * 30, None)]}).parse(["x"] * 30)
    long = Meant("x " * 30, ("x",) * 30, tuple(range(0, 60, 2)), tree, "towers")
    with pytest.raises(ValueError, match="All sentences about towers have more than 26 words"):
        Recombiner([long]).draw(random.Random(0), "towers")


def test_coverage_of_the_training_split() -> None:
    with (shared_folder("data/nlvr") / "train" / "train.json").open() as lines:
        rows = [json.loads(line) for line in lines]
    scenes = Scenes.of([row["structured_rep"] for row in rows])
    labels = np.array([row["label"] == "true" for row in rows])
    of: dict[tuple[str, ...], list[int]] = {}
    for row, example in enumerate(rows):
        of.setdefault(tuple(split_words(example["sentence"])), []).append(row)
    found = read_sentences([row["sentence"] for row in rows], scenes, labels, progress=False)
    read = {meant.words: meant for meant in found}
    parsed = sum(len(there) for words, there in of.items() if words in read or nlvr_grammar().parse(words))
    assert parsed / len(rows) >= 0.96
    kept = sum(len(of[words]) for words in read)
    assert kept / len(rows) >= 0.92, "those that fit most of their labels"
    right = sum(int((meant.evaluate(scenes[of[words]])[0] == labels[of[words]]).sum()) for words, meant in read.items())
    assert right / kept >= 0.93
