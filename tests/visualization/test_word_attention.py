"""What words look at: numbers by hand, and the drawings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lxmert import Regions
from lxmert.visualization import parts_of_speech_figures, word_attention_figures
from lxmert.visualization.parts_of_speech_figures import draw_parts_of_speech
from lxmert.visualization.word_attention import (
    attention_of_words,
    look_at_regions,
    object_class,
    spread_of,
    told_of,
)
from lxmert.visualization.word_attention_figures import draw_word_attention
from lxmert.visualization.word_classes import PartOfSpeech, TaggedWord
from tests.visualization.made_explanations import make_explanation, make_record, make_regions, outside, overlaps
from tests.visualization.pictures import colour_share, pixels_of

# [CLS] two bal ##loons in it [SEP], on three regions: balloon, balloon, box
ROWS = np.array(
    [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0], [0, 1, 0], [0.5, 0, 0.5], [0, 0, 1], [1, 0, 0]], dtype=float
)
MAPS = np.stack([[np.full((7, 3), 1 / 3)] * 2, [ROWS, np.full((7, 3), 1 / 3)]])  # (layers, heads, 7, 3)
PARTS: dict[str, PartOfSpeech] = {"two": "number", "balloons": "noun", "in": "preposition", "it": "pronoun"}


def tag(words: Sequence[str]) -> list[TaggedWord]:
    return [TaggedWord(word, word.removesuffix("s"), PARTS[word]) for word in words]


def test_a_word_in_pieces_has_their_mean() -> None:
    record = make_record({"language_to_vision": MAPS})
    words, attention = attention_of_words(record, head=0)
    assert [word.text for word in words] == ["two", "balloons", "in", "it"]
    np.testing.assert_allclose(attention, [[1 / 3] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(attention_of_words(record, layer=0)[1], np.full((4, 3), 1 / 3), rtol=1e-6)
    assert told_of(record, -1, None) == "cross-modality encoder, layer 1, mean of 2 heads"


def test_spread_is_entropy_by_that_of_uniform_attention() -> None:
    by_hand = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(3)
    found = spread_of(np.array([[1 / 3] * 3, [0.75, 0.25, 0], [0, 0, 1]]))
    np.testing.assert_allclose(found, [1, by_hand, 0], atol=1e-12)
    assert spread_of(np.ones((2, 1))).tolist() == [1, 1]


def test_looks_by_hand() -> None:
    record = make_record({"language_to_vision": MAPS})
    found = look_at_regions([record, record], [make_regions(), make_regions()], head=0, tagger=tag)
    assert found.groups == ("balloon", "box")
    assert len(found.looks) == 8
    assert found.parts() == ["noun", "pronoun", "number", "preposition"]
    assert found.parts(least=3) == []
    two, balloons, inside, it = found.looks[4:]
    assert (balloons.pair, balloons.word, balloons.part) == (1, "balloons", "noun")
    assert balloons.spread == pytest.approx(np.log(2) / np.log(3))
    assert balloons.shares == pytest.approx({"balloon": 1, "box": 0})
    assert balloons.uniform == pytest.approx({"balloon": 2 / 3, "box": 1 / 3})
    assert (balloons.named, balloons.named_uniform) == (pytest.approx(1), pytest.approx(2 / 3))
    assert inside.shares == pytest.approx({"balloon": 0.5, "box": 0.5})
    assert (it.spread, it.largest, it.named) == (0, 1, None)
    assert two.spread == pytest.approx(1)
    means = found.means()
    assert means.index.tolist() == ["noun", "pronoun", "number", "preposition"]
    assert means.loc["noun", "words"] == 2
    assert means.loc["noun", "named_words"] == 2
    assert means.loc["pronoun", "named_words"] == 0
    assert means.loc["preposition", "share_box"] == pytest.approx(0.5)
    assert means.loc["noun", "uniform_balloon"] == pytest.approx(2 / 3)
    assert found.table()["spread"].iloc[3] == 0


def test_groups_and_names_of_regions() -> None:
    regions = make_regions(2)
    colours = Regions(
        np.zeros((2, 1)), [[0, 0, 9, 9], [5, 5, 9, 9]], (30, 40), attribute_ids=[0, -1], attribute_names=("dark blue",)
    )
    assert object_class(regions, 0) == "balloon"
    assert object_class(colours, 0) == "other"
    numbers = Regions(np.zeros((1, 1)), [[0, 0, 9, 9]], (30, 40), object_ids=[4])
    assert object_class(numbers, 0) == "class 4"
    record = make_record({"language_to_vision": np.array([[[[0.9, 0.1]]]])}, ("blue",), colours)

    def blue(words: Sequence[str]) -> list[TaggedWord]:
        return [TaggedWord(word, word, "adjective") for word in words]

    look = look_at_regions([record], [colours], tagger=blue, group_of=lambda _, row: "ab"[row]).looks[0]
    assert look.named == pytest.approx(0.9)
    assert look.shares == pytest.approx({"a": 0.9, "b": 0.1})
    record = make_record(
        {"language_to_vision": MAPS[..., :2] / MAPS[..., :2].sum(-1, keepdims=True).clip(1e-9)}, regions=regions
    )
    looks = look_at_regions([record], [regions], layer=0, tagger=tag).looks
    assert [look.named for look in looks] == [None] * 4, (
        "a word that names every region says nothing by looking at them"
    )


def test_a_sentence_of_function_words_is_drawn(
    tmp_path: Path, figures_of: Callable[[ModuleType], list[Figure]]
) -> None:
    figures = figures_of(word_attention_figures)
    words = ("[CLS]", "is", "it", "there", "[UNK]", "?", "[SEP]")
    record = make_record({"language_to_vision": MAPS}, words)
    draw_word_attention(replace(make_explanation(), record=record), tmp_path / "words.png")
    assert {"is", "it", "there", "[UNK]", "?"} <= {text.get_text() for text in figures[0].texts}


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    record = make_record({"language_to_vision": MAPS})
    regions = make_regions()
    with pytest.raises(ValueError, match="pair 1 has 3, none are given"):
        look_at_regions([record, record], [regions], tagger=tag)
    with pytest.raises(ValueError, match="there are more than the 1 pairs"):
        look_at_regions([record], [regions, regions], tagger=tag)
    with pytest.raises(ValueError, match="pair 0 has 3, 2 are given"):
        look_at_regions([record], [make_regions(2)], tagger=tag)
    with pytest.raises(ValueError, match="records hold no words"):
        look_at_regions([], [], tagger=tag)
    with pytest.raises(ValueError, match="kind 'language_to_vision' is not in the record"):
        attention_of_words(make_record({"vision": np.ones((1, 1, 3, 3)) / 3}))
    path = tmp_path / "words.png"
    for words in ([4], []):
        with pytest.raises(ValueError, match="words must name positions 0 to 3 of 'Two balloons in it', got"):
            draw_word_attention(make_explanation(), path, words)
    looks = look_at_regions([record], [regions], tagger=tag)
    with pytest.raises(ValueError, match="No part of speech has 20 words: give more sentences, or a smaller least"):
        draw_parts_of_speech(looks, path)
    assert not path.exists()


def test_regions_are_lit_by_attention(
    drawing: Image.Image, tmp_path: Path, figures_of: Callable[[ModuleType], list[Figure]]
) -> None:
    figures = figures_of(word_attention_figures)
    rows = np.tile([0.0, 1.0, 0.0], (7, 1))  # all words see the blue rectangle alone
    explanation = make_explanation(drawing, {"language_to_vision": rows[None, None]})
    path = draw_word_attention(explanation, tmp_path / "new" / "words.png", [1])
    pixels = pixels_of(path)
    blue, red = colour_share(pixels, (0, 0, 255)), colour_share(pixels, (255, 0, 0))
    assert blue / red == pytest.approx(2 * 256 / 100, rel=0.15), "blue in the picture and for the word, red once"
    assert colour_share(pixels, (171, 120, 120)) == pytest.approx(red, rel=0.2), "red is dimmed for the word"
    panel = figures[0].axes[1]
    told = [text.get_text() for text in figures[0].texts]
    assert told[2:5] == ["picture", "balloons", "spread 0%"]
    assert "1.00" in [text.get_text() for text in panel.texts]
    draw_word_attention(explanation, tmp_path / "words.svg")
    told = [text.get_text() for text in figures[1].texts]
    assert told[2:5] == ["picture", "balloons", "spread 0%"], "no function words"


@pytest.mark.parametrize("size", [(30, 40), (100, 400), (400, 100)], ids=["drawing", "wide", "high"])
def test_nothing_overlaps(
    size: tuple[int, int], tmp_path: Path, figures_of: Callable[[ModuleType], list[Figure]]
) -> None:
    figures = figures_of(word_attention_figures)
    words = ("[CLS]", *("a", "very", "long", "kaleidoscopically", "風船") * 4, "[SEP]")
    explanation = make_explanation(None, regions=make_regions(36, size=size), words=words, question="long words " * 30)
    draw_word_attention(explanation, tmp_path / "words.png", range(12))
    figure = figures[0]
    assert len(figure.texts) > 25
    assert overlaps(figure, figure.texts) == []
    assert outside(figure, figure.texts) == []
    assert "picture not at hand" in [text.get_text() for text in figure.texts]


def test_parts_of_speech_are_bars_by_concentration(
    tmp_path: Path, figures_of: Callable[[ModuleType], list[Figure]]
) -> None:
    figures = figures_of(parts_of_speech_figures)
    record = make_record({"language_to_vision": MAPS})
    looks = look_at_regions([record], [make_regions()], head=0, tagger=tag)
    assert draw_parts_of_speech(looks, tmp_path / "parts.pdf", least=1).read_bytes().startswith(b"%PDF")
    axes = figures[0].axes
    assert [axis.get_title(loc="left") for axis in axes] == [
        *("concentration (1 - spread)", "largest weight", "on balloon regions", "on regions named by the word")
    ]
    names = [text.get_text() for text in axes[0].get_yticklabels()]
    assert names[0] == "pronoun (1)"
    assert names[-1] == "number (1)"
    widths = [bar.get_width() for bar in axes[0].patches]
    np.testing.assert_allclose(widths, [1, 1 - np.log(2) / np.log(3), 1 - np.log(2) / np.log(3), 0], atol=1e-6)
    assert [bar.get_width() for bar in axes[3].patches] == pytest.approx([1]), "only balloons name a region"
