import pytest

from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.words import MENDED, VARIANTS, split_words, words_with_places


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("There is a Box.", "there is a box"),
        ("one,two . three", "one two three"),
        ("ll the boxes", "all the boxes"),
        ("t least one box with t least two", "at least one box with at least two"),
        ("abox with ablue sqaures", "a box with a blue squares"),
        ("bottom-right corner of the gray box", "bottom right corner of the grey box"),
        ("", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert split_words(text) == words.split()


def test_places() -> None:
    assert words_with_places("A tleast,  b.") == [(["a"], (0, 1)), (["at", "least"], (2, 8)), (["b"], (11, 12))]


def test_slips_are_mended_once() -> None:
    known = nlvr_grammar().words
    for slip, word in (MENDED | VARIANTS).items():
        assert slip not in known, f"{slip} is right"
        assert " ".join(split_words(f"x {word}")) == f"x {word}", f"{word} is mended again"
