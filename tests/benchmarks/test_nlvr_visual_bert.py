"""benchmarks/nlvr_visual_bert.py: VisualBERT with LXMERT's heads, and of its size."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert import loss_counts
from lxmert.training import Task, TrainingSettings, train
from tests.conftest import SMALL, make_batch, make_masks
from tests.modeling_lxmert.labels import make_grounding_labels

TASKS = {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False, "task_grounding": True}


@pytest.fixture(scope="module")
def visual_bert(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/nlvr_visual_bert.py."""
    return load_benchmark("nlvr_visual_bert")


def make_config(**overrides: Any) -> LxmertConfig:
    return LxmertConfig(**(SMALL | TASKS | overrides))


def make(visual_bert: ModuleType, **overrides: Any) -> Any:
    torch.manual_seed(0)
    return visual_bert.VisualBertForScenes(visual_bert.visual_bert_like(make_config(**overrides)).config).eval()


@pytest.fixture
def model(visual_bert: ModuleType) -> Any:
    return make(visual_bert)


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

    def test_grounding_may_be_off(self, visual_bert: ModuleType) -> None:
        model = make(visual_bert, task_grounding=False)
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
    def test_what_a_region_has_and_words_say_does(self, visual_bert: ModuleType, name: str) -> None:
        model, inputs = make(visual_bert, initializer_range=0.2), make_batch()
        other = inputs | {name: inputs[name].roll(1, dims=1)}
        difference = model(**other).question_answering_score - model(**inputs).question_answering_score
        assert difference.abs().max() > 0.05

    def test_compiled(self, visual_bert: ModuleType) -> None:
        model = make(visual_bert, l_layers=0, r_layers=0, x_layers=1)
        expected = [model(**make_batch(words=words), **labels(words)).loss for words in (9, 7)]
        model.compile(dynamic=True, backend="eager")
        assert model.visual_bert.encoder._compiled_call_impl is not None
        for words, loss in zip((9, 7), expected, strict=True):
            torch.testing.assert_close(model(**make_batch(words=words), **labels(words)).loss, loss)

    def test_saving(self, model: Any, visual_bert: ModuleType, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        loaded, report = visual_bert.VisualBertForScenes.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name
        assert torch.equal(loaded.eval()(**make_batch(), **labels()).loss, model(**make_batch(), **labels()).loss)

    def test_the_loop_trains_it(self, model: Any, visual_bert: ModuleType, tmp_path: Path) -> None:
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
        loaded = visual_bert.VisualBertForScenes.from_pretrained(result.last).eval()
        assert torch.equal(loaded(**make_batch(), **labels()).loss, model.eval()(**make_batch(), **labels()).loss)

    def test_initial_weights(self, visual_bert: ModuleType) -> None:
        model = make(visual_bert, initializer_range=0.1)
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


def test_both_parts_of_a_region_weigh_the_same(visual_bert: ModuleType) -> None:
    features, boxes = 50 + 9 * torch.randn(40, 30, 12), torch.rand(40, 30, 4)
    given = visual_bert.standardised(features, boxes)
    assert given.shape == (40, 30, 16)
    left, right = given.split([12, 4], dim=-1)
    assert left.square().sum(-1).mean().item() == pytest.approx(12, rel=0.01)
    assert right.square().sum(-1).mean().item() == pytest.approx(12, rel=0.05)
    assert right.mean().item() == pytest.approx(0, abs=0.05)
    # a box by hand: the corners are half of the picture's side off its middle, sqrt(12) / 2 sqrt(12 / 4) = 3
    whole = visual_bert.standardised(torch.zeros(1, 1, 12), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))
    torch.testing.assert_close(whole, torch.tensor([[[0.0] * 12 + [-3.0, -3.0, 3.0, 3.0]]]))


@pytest.mark.parametrize("layers", [(1, 1, 3), (2, 1, 4), (2, 2, 2)])
@pytest.mark.parametrize("task_grounding", [True, False])
def test_equal_size(visual_bert: ModuleType, layers: tuple[int, int, int], task_grounding: bool) -> None:
    sizes = dict(zip(("l_layers", "r_layers", "x_layers"), layers, strict=True))
    sizes |= {"hidden_size": 128, "intermediate_size": 256, "num_qa_labels": 2, "task_grounding": task_grounding}
    config = make_config(**sizes, task_mask_lm=True, task_obj_predict=True)
    like = visual_bert.visual_bert_like(config)
    model = visual_bert.VisualBertForScenes(like.config)
    assert like.parameters == sum(parameter.numel() for parameter in model.parameters())
    restricted = LxmertForPreTraining(make_config(**sizes))
    restricted(**make_batch(), ans=torch.tensor([1, 0, 1]), **make_grounding_labels()).loss.backward()
    learning = sum(parameter.numel() for parameter in restricted.parameters() if parameter.grad is not None)
    assert like.lxmert_parameters == learning
    assert abs(like.parameters / like.lxmert_parameters - 1) < 0.08
    assert f"VisualBERT of {like.config.num_hidden_layers} layers: {like.parameters:,} parameters" in str(like)
    one_more, one_less = (
        visual_bert.VisualBertForScenes(
            like.config.__class__(**(like.config.to_dict() | {"num_hidden_layers": layers}))
        )
        for layers in (like.config.num_hidden_layers + 1, like.config.num_hidden_layers - 1)
    )
    for other in (one_more, one_less):
        assert abs(like.parameters - learning) <= abs(other.num_parameters() - learning), "no other is nearer"


def test_a_peer_must_answer(visual_bert: ModuleType) -> None:
    with pytest.raises(ValueError, match="task_qa is off: .* switch it on"):
        visual_bert.visual_bert_like(make_config(task_qa=False))


def test_learns_32_examples_by_heart(visual_bert: ModuleType) -> None:
    """A word means the regions whose feature of the word's number is large and that lie right of the middle."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "l_layers": 1, "r_layers": 1, "x_layers": 1}
    model = make(visual_bert, **sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
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
