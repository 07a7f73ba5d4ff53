"""Which regions a word means, and how many; refused labels are in test_checks.py, the losses in test_losses.py."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lxmert import (
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
)
from lxmert.modeling_lxmert.grounding import LxmertGroundingHead
from tests.conftest import make_batch, make_masks
from tests.modeling_lxmert.labels import make_grounding_labels, make_labels

Configure = Callable[..., LxmertConfig]


def make(configure: Configure, **overrides: Any) -> LxmertForPreTraining:
    torch.manual_seed(0)
    return LxmertForPreTraining(configure(**({"task_grounding": True} | overrides))).eval()


@pytest.fixture
def model(small_config: Configure) -> LxmertForPreTraining:
    return make(small_config)


class TestHead:
    def test_by_hand(self, small_config: Configure) -> None:
        """Transforms that only pass on what they get: scaled dot products, and a line through the words."""
        head = LxmertGroundingHead(small_config(hidden_size=4, num_count_labels=2))
        head.word_transform = head.region_transform = nn.Identity()
        with torch.no_grad():
            head.bias.fill_(-0.25)
            head.count_decoder.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]]))
            head.count_decoder.bias.copy_(torch.tensor([0.5, 0.0]))
        words = torch.tensor([[[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]]])
        regions = torch.tensor([[[1.0, 1.0, 5.0, 0.0], [0.0, 0.0, 0.0, -4.0], [0.0, 1.0, 0.0, 1.0]]])
        pairs, numbers = head(words, regions)
        # dot products 3, 0, 2 and 0, -8, 2, halved
        assert pairs.tolist() == [[[1.25, -0.25, 0.75], [-0.25, -4.25, 0.75]]]
        assert numbers.tolist() == [[[1.5, 0.0], [0.5, 6.0]]]

    @pytest.mark.parametrize("width", [64, 256])
    def test_logits_start_around_one_and_can_be_large(self, small_config: Configure, width: int) -> None:
        torch.manual_seed(0)
        head = LxmertGroundingHead(small_config(hidden_size=width))
        pairs, _ = head(torch.randn(4, 50, width), torch.randn(4, 30, width))
        assert 0.5 < pairs.std().item() < 2
        head.region_transform = head.word_transform
        states = torch.randn(1, 3, width)
        same = head(states, states)[0].diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(same, torch.full((1, 3), math.sqrt(width)), rtol=0.02, atol=0)

    def test_the_last_count_is_the_last_class(self, model: LxmertForPreTraining, small_config: Configure) -> None:
        assert model(**make_batch()).count_logits.shape == (3, 9, 10), "0 to 8, and 9 or more"
        assert make(small_config, num_count_labels=4)(**make_batch()).count_logits.shape == (3, 9, 4)


class TestTask:
    def test_losses_and_what_was_right_by_hand(self, model: LxmertForPreTraining) -> None:
        labels = make_grounding_labels()
        output = model(**make_batch(), **labels)
        pairs, numbers = labels["grounding_labels"], labels["count_labels"]
        losses, right = [], 0
        for i, j, k in (pairs >= 0).nonzero().tolist():
            logit, yes = output.grounding_logits[i, j, k].item(), pairs[i, j, k].item() == 1
            losses.append(math.log1p(math.exp(-logit if yes else logit)))
            right += (logit > 0) == yes
        assert output.losses["grounding"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        assert output.correct["grounding"].tolist() == [right, len(losses)]
        assert len(losses) == 3 * 6 * 5 - 3, "6 of 9 words in 3 sentences, one region of one word unknown"

        losses, right = [], 0
        for i, j in (numbers >= 0).nonzero().tolist():
            logits, number = output.count_logits[i, j], numbers[i, j].item()
            losses.append(-logits.log_softmax(-1)[number].item())
            right += logits.argmax().item() == number
        assert output.losses["count"].item() == pytest.approx(sum(losses) / 18, rel=1e-5)
        assert output.correct["count"].tolist() == [right, 18]
        assert output.loss.item() == pytest.approx(output.losses["grounding"].item() + output.losses["count"].item())

    def test_it_stands_behind_the_other_tasks(self, model: LxmertForPreTraining) -> None:
        together = model(**make_batch(), **make_labels(), **make_grounding_labels())
        assert list(together.losses) == ["mask_lm", "matched", "obj", "attr", "feat", "qa", "grounding", "count"]
        assert list(together.correct) == ["mask_lm", "matched", "obj", "attr", "qa", "grounding", "count"]
        assert list(together)[-2:] == ["grounding_logits", "count_logits"]
        expected = model(**make_batch(), **make_labels()).loss + model(**make_batch(), **make_grounding_labels()).loss
        torch.testing.assert_close(together.loss, expected)

    def test_weights(self, small_config: Configure) -> None:
        model = make(small_config)
        plain = model(**make_batch(), **make_grounding_labels())
        model.config.grounding_loss_weight, model.config.count_loss_weight = 3.0, 0.5
        weighted = model(**make_batch(), **make_grounding_labels())
        torch.testing.assert_close(weighted.losses["grounding"], 3 * plain.losses["grounding"])
        torch.testing.assert_close(weighted.losses["count"], 0.5 * plain.losses["count"])

    @pytest.mark.parametrize(("name", "task"), [("grounding_labels", "grounding"), ("count_labels", "count")])
    def test_one_may_be_labelled_without_the_other(self, model: LxmertForPreTraining, name: str, task: str) -> None:
        labels = make_grounding_labels()
        output = model(**make_batch(), **{name: labels[name]})
        assert list(output.losses) == list(output.correct) == [task]
        assert output.loss.item() == output.losses[task].item() > 0.1

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int64])
    def test_any_type_of_whole_numbers_and_both_marks(self, model: LxmertForPreTraining, dtype: torch.dtype) -> None:
        expected = model(**make_batch(), **make_grounding_labels())
        for nothing in (-100, -1):
            labels = {name: label.to(dtype) for name, label in make_grounding_labels(nothing=nothing).items()}
            output = model(**make_batch(), **labels)
            for name, loss in expected.losses.items():
                assert output.losses[name].item() == loss.item()
                assert torch.equal(output.correct[name], expected.correct[name])

    @pytest.mark.parametrize("nothing", [-100, -1])
    def test_nothing_labelled_gives_zero(self, model: LxmertForPreTraining, nothing: int) -> None:
        labels = {name: torch.full_like(label, nothing) for name, label in make_grounding_labels().items()}
        for return_logits in (True, False):
            output = model(**make_batch(), **labels, return_logits=return_logits)
            output.loss.backward()
            assert [loss.item() for loss in output.losses.values()] == [0, 0]
            assert [pair.tolist() for pair in output.correct.values()] == [[0, 0], [0, 0]]
            assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)

    def test_off_by_default(self, small_config: Configure) -> None:
        model = LxmertForPreTraining(small_config()).eval()
        assert not [name for name in model.state_dict() if "grounding" in name]
        output = model(**make_batch(), grounding_labels=torch.ones(1), count_labels=torch.full((3, 9), 99))
        assert output.grounding_logits is output.count_logits is None
        assert output.losses == output.correct == {}
        assert output.loss.item() == 0

    def test_the_other_heads_are_not_changed(self, model: LxmertForPreTraining, small_config: Configure) -> None:
        without = LxmertForPreTraining(small_config()).eval()
        without.load_state_dict({n: t for n, t in model.state_dict().items() if not n.startswith("grounding_head.")})
        expected, output = (each(**make_batch(), **make_labels()) for each in (without, model))
        assert torch.equal(output.loss, expected.loss)
        assert torch.equal(output.prediction_logits, expected.prediction_logits)

    def test_without_logits(self, model: LxmertForPreTraining) -> None:
        inputs = make_batch() | make_masks() | make_grounding_labels()
        expected, output = model(**inputs), model(**inputs, return_logits=False)
        assert output.grounding_logits is output.count_logits is None
        assert torch.equal(output.loss, expected.loss)
        ran: list[int] = []
        model.grounding_head.register_forward_hook(lambda *_: ran.append(1))
        assert model(**make_batch(), return_logits=False).grounding_logits is None
        assert not ran, "nobody asked"

    def test_counts_divide(self, model: LxmertForPreTraining) -> None:
        inputs = make_batch() | make_grounding_labels()
        counts = {"grounding": torch.tensor(174.0), "count": torch.tensor(6.0)}
        expected, output = model(**inputs), model(**inputs, loss_counts=counts)
        torch.testing.assert_close(output.losses["grounding"], expected.losses["grounding"] * 87 / 174)
        torch.testing.assert_close(output.losses["count"], expected.losses["count"] * 18 / 6)

    def test_losses_in_half_precision_are_close(self, model: LxmertForPreTraining) -> None:
        inputs = make_batch() | make_grounding_labels()
        expected = model(**inputs)
        half = model.bfloat16()(**inputs)
        half.loss.backward()
        for name, loss in expected.losses.items():
            assert half.losses[name].dtype == torch.float32
            torch.testing.assert_close(half.losses[name], loss, atol=0.02, rtol=0.02)
        assert all(p.grad.isfinite().all() for p in model.grounding_head.parameters())

    def test_one_image_serves_many_sentences(self, model: LxmertForPreTraining) -> None:
        inputs = make_batch()
        one = {name: inputs[name][:1] for name in ("visual_feats", "visual_pos")}
        repeated = {name: tensor.expand(3, -1, -1) for name, tensor in one.items()}
        expected = model(inputs["input_ids"], **repeated, **make_grounding_labels())
        output = model(inputs["input_ids"], **one, **make_grounding_labels())
        torch.testing.assert_close(output.loss, expected.loss)
        torch.testing.assert_close(output.grounding_logits, expected.grounding_logits)


class TestLoading:
    @pytest.mark.parametrize(
        "model_class", [LxmertForQuestionAnswering, LxmertForVisualReasoning, LxmertForImageAndTextRetrieval]
    )
    def test_fine_tuning_leaves_the_head_behind_without_a_word(
        self,
        model: LxmertForPreTraining,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        model_class: Any,
    ) -> None:
        model.save_pretrained(tmp_path)
        loaded, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not report["unexpected_keys"]
        assert not hasattr(loaded, "grounding_head")
        assert "grounding" not in caplog.text + capfd.readouterr().err
        assert torch.equal(loaded.lxmert.pooler.dense.weight, model.lxmert.pooler.dense.weight)

    def test_a_checkpoint_without_the_head_starts_it_afresh(self, small_config: Configure, tmp_path: Path) -> None:
        answering = LxmertForQuestionAnswering(small_config())
        answering.save_pretrained(tmp_path)
        model, report = LxmertForPreTraining.from_pretrained(tmp_path, task_grounding=True, output_loading_info=True)
        assert {f"grounding_head.{name}" for name, _ in model.grounding_head.named_parameters()} <= set(
            report["missing_keys"]
        )
        assert torch.equal(model.answer_head.logit_fc[0].weight, answering.answer_head.logit_fc[0].weight)
        head = model.grounding_head
        assert head.bias.tolist() == [0.0]
        assert not head.count_decoder.bias.any()
        for transform in (head.word_transform, head.region_transform):
            assert transform.dense.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert torch.equal(transform.LayerNorm.weight, torch.ones(32))
        assert model(**make_batch(), **make_grounding_labels()).loss.isfinite()

    def test_the_bias_is_saved(self, model: LxmertForPreTraining, tmp_path: Path) -> None:
        with torch.no_grad():
            model.grounding_head.bias.fill_(-2.5)
        model.save_pretrained(tmp_path)
        assert LxmertForPreTraining.from_pretrained(tmp_path).grounding_head.bias.tolist() == [-2.5]


def test_learns_32_examples_by_heart(small_config: Configure) -> None:
    """A word means the regions whose feature of the word's number is large: neither side knows without the other."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "l_layers": 1, "r_layers": 1, "x_layers": 1}
    model = make(small_config, **sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    inputs, steps = make_batch(batch=32), 100
    number = (inputs["input_ids"] % 12)[:, None].expand(-1, 5, -1)  # (B, R, T)
    pairs = (inputs["visual_feats"].gather(2, number) > 0.5).transpose(1, 2).to(torch.int8)  # (B, T, R)
    labels = {"grounding_labels": pairs, "count_labels": pairs.sum(-1)}
    assert labels["count_labels"].unique().tolist() == [0, 1, 2, 3, 4], "empty sets too"
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps, pct_start=0.1)
    first = model(**inputs, **labels).losses
    for _ in range(steps):
        output = model(**inputs, **labels, return_logits=False)
        output.loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    for task, judged in (("grounding", 32 * 9 * 5), ("count", 32 * 9)):
        assert first[task].item() > 0.5, task
        assert output.losses[task].item() < 0.05, task
        assert output.correct[task].tolist() == [judged, judged]
    sure = model(**inputs).grounding_logits
    assert sure.min().item() < -4
    assert sure.max().item() > 4
