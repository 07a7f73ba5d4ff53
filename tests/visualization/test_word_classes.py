"""Words out of wordpieces, and their parts of speech."""

import importlib.util

import pytest

from lxmert.visualization.word_classes import (
    PARTS_OF_SPEECH,
    WholeWord,
    part_of,
    tag_words,
    whole_words,
    written_words,
)

needs_hanta = pytest.mark.skipif(importlib.util.find_spec("HanTa") is None, reason="HanTa is not installed")


@needs_hanta
@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        (
            "there is a box with two yellow circles .",
            "there auxiliary article noun preposition number adjective noun other",
        ),
        ("it contains exactly one black block", "pronoun verb adverb number adjective noun"),
        ("Where are the girls who play in it", "adverb auxiliary article noun pronoun verb preposition pronoun"),
        ("all items and towers", "determiner noun conjunction noun"),
    ],
)
def test_parts_of_speech_by_hand(sentence: str, parts: str) -> None:
    words = sentence.split()
    tagged = tag_words(words)
    assert [word.text for word in tagged] == words
    assert [word.part for word in tagged] == parts.split()


@needs_hanta
def test_lemmas_are_dictionary_forms() -> None:
    assert [word.lemma for word in tag_words(["Two", "yellow", "circles"])] == ["two", "yellow", "circle"]
    assert tag_words([]) == []


def test_the_longest_beginning_of_a_tag_decides() -> None:
    assert [part_of(tag) for tag in ("DT0", "DTQ", "VVG", "VBZ", "AV0", "AT0", "XX0", "PUN", "")] == [
        *("determiner", "pronoun", "verb", "auxiliary", "adverb", "article", "other", "other", "other")
    ]
    assert set(PARTS_OF_SPEECH) >= {part_of(tag) for tag in ("NN1", "CRD", "PRF", "EX0", "CJC", "AJ0")}


def test_bad_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="must be the words of a sentence, got the one text 'a box': split it"):
        tag_words("a box")
    from lxmert.visualization import word_classes

    word_classes._hanover_tagger.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "HanTa.HanoverTagger", None)
    with pytest.raises(ModuleNotFoundError, match=r"Parts of speech need HanTa: pip install lxmert\[parts_of_speech\]"):
        tag_words(["a"])


def test_pieces_join_to_words() -> None:
    pieces = ("[CLS]", "bal", "##lo", "##ons", "##", "[SEP]", "##s", "[UNK]", "[PAD]")
    assert whole_words(pieces) == [
        WholeWord("balloons", (1, 2, 3, 4)),
        WholeWord("##s", (6,)),  # begins after a special token
        WholeWord("[UNK]", (7,)),
    ]
    assert whole_words(()) == []


def test_words_stand_as_they_are_written_where_that_is_known() -> None:
    words = whole_words(("two", "bal", "##loons", ",", "[UNK]"))
    assert written_words("Two BALLOONS, ballon", words) == ["Two", "BALLOONS", ",", "ballon"]
    assert written_words("Two balloons, one two", words) == ["two", "balloons", ",", "[UNK]"]


def test_words_are_cut_as_wordpieces_are() -> None:
    words = whole_words(("[UNK]", "[UNK]", "[UNK]", "?"))
    assert written_words("cat😀 風船?", words) == ["cat😀", "風", "船", "?"]
    words = whole_words(("cafe", "[UNK]", "[UNK]", "_", "b"))
    assert written_words("Cafe\u0301 風船_B", words) == ["Cafe\u0301", "風", "船", "_", "B"]
    # as many words, but others
    assert written_words("red ball", whole_words(("blue", "ball"))) == ["blue", "ball"]
