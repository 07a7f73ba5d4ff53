"""Sentences that were read, for several files of tests."""

import numpy as np
import pytest

from lxmert.scenes import Meant, Scenes, concatenate, random_scattered, random_towers, read_sentences
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import evaluate
from lxmert.scenes.words import split_words

TOWER_TEXTS = [
    "There is a tower with exactly two yellow blocks.",
    "there are at least two towers with a black top",
    "all towers have a blue block at the base",
    "there is exactly one tower with a black block above a blue block",
    "there is a box with all 3 colors",
]
SCATTERED_TEXTS = [
    "There is a box with two yellow circles.",
    "there is a black square touching the wall",
    "there are exactly three blue items",
    "there is a box with a small triangle and at least one big square",
]


def examples(texts: list[str], scenes: Scenes) -> tuple[list[str], Scenes, np.ndarray]:
    """Every text with every scene, labelled by its first reading."""
    labels = [
        np.broadcast_to(evaluate(nlvr_grammar().parse(split_words(text))[0], scenes)[0], len(scenes)) for text in texts
    ]
    rows = np.tile(np.arange(len(scenes)), len(texts))
    return [text for text in texts for _ in range(len(scenes))], scenes[rows], np.concatenate(labels)


@pytest.fixture(scope="session")
def read() -> list[Meant]:
    generator = np.random.default_rng(0)
    towers = examples(TOWER_TEXTS, random_towers(40, generator))
    scattered = examples(SCATTERED_TEXTS, random_scattered(40, generator))
    texts, scenes, labels = zip(towers, scattered, strict=True)
    return read_sentences([*texts[0], *texts[1]], concatenate(scenes), np.concatenate(labels), progress=False)
