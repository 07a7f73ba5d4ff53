"""Tasks, their losses and what comes out beside them; inputs that are refused are in test_checks.py."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForPreTraining

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering
from tests.conftest import SMALL, make_batch, make_masks
from tests.modeling_lxmert.labels import TASKS, make_labels, only

SWITCHES: dict[str, tuple[str, ...]] = {
    "task_mask_lm": ("mask_lm",),
    "task_matched": ("matched",),
    "task_obj_predict": ("obj", "attr", "feat"),
    "visual_obj_loss": ("obj",),
    "visual_attr_loss": ("attr",),
    "visual_feat_loss": ("feat",),
    "task_qa": ("qa",),
}


def make(**overrides: Any) -> LxmertForPreTraining:
    torch.manual_seed(0)
    return LxmertForPreTraining(LxmertConfig(**(SMALL | overrides))).eval()


@pytest.fixture
def model() -> LxmertForPreTraining:
    return make()


@pytest.fixture
def labels() -> dict[str, Any]:
    return make_labels()


class TestTasks:
    def test_the_loss_is_the_sum_of_whatever_parts_have_labels(self, labels: dict[str, Any]) -> None:
        model = make(l_layers=1, r_layers=1, x_layers=1)
        with torch.no_grad():
            alone = {task: model(**make_batch(), **only(labels, task)).loss.item() for task in TASKS}
            assert min(alone.values()) > 0.1
            for size in range(1, 7):
                for tasks in itertools.combinations(TASKS, size):
                    output = model(**make_batch(), **only(labels, *tasks))
                    assert tuple(output.losses) == tasks
                    assert {task: loss.item() for task, loss in output.losses.items()} == pytest.approx(
                        {task: alone[task] for task in tasks}
                    )
                    assert output.loss.item() == pytest.approx(sum(alone[task] for task in tasks))

    def test_without_labels_there_is_no_loss(self, model: LxmertForPreTraining) -> None:
        output = model(**make_batch())
        assert output.loss is output.losses is output.correct is None
        assert list(output) == [
            *("prediction_logits", "cross_relationship_score", "question_answering_score", "visual_predictions")
        ]

    @pytest.mark.parametrize("switch", SWITCHES)
    def test_labels_of_a_task_that_is_off_are_ignored(self, switch: str, labels: dict[str, Any]) -> None:
        without = make(**{switch: False})
        on = [task for task in TASKS if task not in SWITCHES[switch]]
        output = without(**make_batch(), **labels)
        assert list(output.losses) == on
        assert not set(SWITCHES[switch]) & set(output.correct)
        assert output.loss.item() == pytest.approx(without(**make_batch(), **only(labels, *on)).loss.item())
        if set(SWITCHES[switch]) & {"obj", "attr", "feat"} and switch != "task_obj_predict":
            assert not set(SWITCHES[switch]) & set(output.visual_predictions)

    @pytest.mark.parametrize("switch", SWITCHES)
    def test_labels_of_a_task_that_is_off_may_belong_to_another_model(
        self, switch: str, labels: dict[str, Any]
    ) -> None:
        """Class ids beyond this configuration's numbers, for instance, of a head that this model lacks."""
        model = make(**{switch: False})
        foreign = {
            "mask_lm": {"labels": labels["labels"] + 1000},
            "matched": {"matched_label": torch.tensor([5, 5, 5])},
            "qa": {"ans": torch.tensor([9000, 1, 2])},
        }
        for task in SWITCHES[switch]:
            if task in foreign:
                labels |= foreign[task]
            else:
                targets, weights = labels["obj_labels"][task]
                labels["obj_labels"][task] = (targets + 1000, weights)
        assert list(model(**make_batch(), **labels).losses) == [t for t in TASKS if t not in SWITCHES[switch]]

    def test_heads_of_tasks_that_are_off_are_not_built(self) -> None:
        model = make(task_qa=False, task_obj_predict=False)
        assert not hasattr(model, "answer_head")
        assert not hasattr(model, "obj_predict_head")
        output = model(**make_batch())
        assert output.question_answering_score is output.visual_predictions is None
        assert output.cross_relationship_score.shape == (3, 2)
        assert model.get_qa_logit_layer() is None
        assert make(visual_attr_loss=False).obj_predict_head.decoder_dict.keys() == {"obj", "feat"}

    @pytest.mark.parametrize("nothing", [-100, -1])
    @pytest.mark.parametrize("task", TASKS)
    def test_nothing_labelled_gives_zero_and_finite_gradients(
        self, model: LxmertForPreTraining, labels: dict[str, Any], task: str, nothing: int
    ) -> None:
        labels = _unlabelled(labels, task, nothing)
        for return_logits in (True, False):
            model.zero_grad()
            output = model(**make_batch(), **labels, return_logits=return_logits)
            output.loss.backward()
            assert output.losses[task].item() == 0
            assert all(loss.item() > 0 for name, loss in output.losses.items() if name != task)
            assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
            if task in output.correct:
                assert output.correct[task].tolist() == [0, 0]

    def test_nothing_labelled_at_all(self, model: LxmertForPreTraining, labels: dict[str, Any]) -> None:
        for task in TASKS:
            labels = _unlabelled(labels, task, -1)
        output = model(**make_batch(), **labels)
        output.loss.backward()
        assert output.loss.item() == 0
        assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)

    def test_both_marks_mean_nothing(self, model: LxmertForPreTraining) -> None:
        ours = model(**make_batch(), **make_labels(nothing=-100)).losses
        originals = model(**make_batch(), **make_labels(nothing=-1)).losses
        assert {name: loss.item() for name, loss in ours.items()} == {n: loss.item() for n, loss in originals.items()}


def _unlabelled(labels: dict[str, Any], task: str, nothing: int) -> dict[str, Any]:
    """The labels with nothing to predict for one task."""
    labels = labels | {"obj_labels": dict(labels["obj_labels"])}
    visual = labels["obj_labels"]
    if task == "feat":
        visual[task] = (visual[task][0], torch.zeros(3, 5))
    elif task in visual:
        visual[task] = (torch.full((3, 5), nothing), visual[task][1])
    else:
        name = {"mask_lm": "labels", "matched": "matched_label", "qa": "ans"}[task]
        labels[name] = torch.full_like(labels[name], nothing)
    return labels


class TestWithoutLogits:
    @pytest.mark.parametrize("nothing", [-100, -1])
    def test_losses_and_gradients_are_the_same(self, model: LxmertForPreTraining, nothing: int) -> None:
        inputs = make_batch() | make_masks() | make_labels(nothing=nothing)
        expected = model(**inputs)
        expected.loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        output = model(**inputs, return_logits=False)
        output.loss.backward()
        for name, loss in expected.losses.items():
            torch.testing.assert_close(output.losses[name], loss, atol=1e-6, rtol=1e-6)
        for name, right in expected.correct.items():
            assert torch.equal(output.correct[name], right), name
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-6)

    @pytest.mark.parametrize("nothing", [-100, -1])
    def test_what_is_large_is_left_out(self, model: LxmertForPreTraining, nothing: int) -> None:
        labels, widths = make_labels(nothing=nothing), []
        model.cls.predictions.register_forward_hook(lambda _, arguments, out: widths.append(out.shape))
        output = model(**make_batch(), **labels, return_logits=False)
        assert output.prediction_logits is output.visual_predictions is None
        assert output.cross_relationship_score.shape == (3, 2)
        assert output.question_answering_score.shape == (3, 7)
        assert widths == [(18, 60)], "6 of 9 words have a label in each of 3 sentences"
        assert "prediction_logits" not in model(**make_batch(), return_logits=False)


class TestCorrect:
    """Heads that always choose class 1: what is right can be read off the labels."""

    @pytest.fixture
    def always_one(self, model: LxmertForPreTraining) -> LxmertForPreTraining:
        decoders = [model.cls.seq_relationship, model.answer_head.logit_fc[-1]]
        decoders += [model.obj_predict_head.decoder_dict[name] for name in ("obj", "attr")]
        with torch.no_grad():
            model.cls.predictions.bias[1] = 1000
            for decoder in decoders:
                decoder.bias[1] = 1000
        return model

    def test_by_hand(self, always_one: LxmertForPreTraining) -> None:
        words = torch.full((3, 9), -100)
        words[0, :4] = torch.tensor([1, 1, 1, 7])
        objects, attributes = torch.full((3, 5), 1), torch.full((3, 5), 2)
        objects[0, 0], objects[0, 1], attributes[2, 4] = 3, -1, 1
        masked = torch.zeros(3, 5)
        masked[0] = masked[2, 4] = 1
        labels = {
            "labels": words,
            "matched_label": torch.tensor([1, 0, -1]),
            "ans": torch.tensor([1, 1, 0]),
            "obj_labels": {
                "obj": (objects, torch.ones(3, 5)),
                "attr": (attributes, torch.ones(3, 5)),
                "feat": (torch.zeros(3, 5, 12), masked),
            },
        }
        correct = always_one(**make_batch(), **labels).correct
        assert {name: pair.tolist() for name, pair in correct.items()} == {
            "mask_lm": [3, 4],
            "matched": [1, 2],
            "obj": [4, 5],  # masked: the 5 regions of the first image, one without a label, and one of the third
            "attr": [1, 6],
            "qa": [2, 3],
        }
        labels["obj_labels"].pop("feat")  # then all regions are judged
        correct = always_one(**make_batch(), **labels).correct
        assert {name: correct[name].tolist() for name in ("obj", "attr")} == {"obj": [13, 14], "attr": [1, 15]}

    def test_scores_of_answers_are_not_counted(self, model: LxmertForPreTraining) -> None:
        output = model(**make_batch(), **make_labels(soft=True))
        assert "qa" not in output.correct
        assert output.losses["qa"].item() > 0


class TestVariantsOfThePaper:
    def test_only_masked_regions_are_labelled(self, labels: dict[str, Any]) -> None:
        model = make(visual_label_regions="masked", visual_loss_normalizer=3.0)
        output = model(**make_batch(), **labels)
        masked = labels["obj_labels"]["feat"][1]
        for name in ("obj", "attr"):
            classes = labels["obj_labels"][name][0]
            expected = 0.0
            for i, j in itertools.product(range(3), range(5)):
                if masked[i, j] and classes[i, j] >= 0:
                    expected -= output.visual_predictions[name][i, j].log_softmax(-1)[classes[i, j]].item()
            assert output.losses[name].item() == pytest.approx(3.0 * expected / 15, rel=1e-5)

    def test_the_original_weighs_all_regions(self, model: LxmertForPreTraining, labels: dict[str, Any]) -> None:
        output = model(**make_batch(), **labels)
        classes, confidences = labels["obj_labels"]["obj"]
        expected = 0.0
        for i, j in itertools.product(range(3), range(5)):
            if classes[i, j] >= 0:
                likelihood = output.visual_predictions["obj"][i, j].log_softmax(-1)[classes[i, j]]
                expected -= (confidences[i, j] * likelihood).item()
        assert output.losses["obj"].item() == pytest.approx(expected / 15 / 0.15, rel=1e-5)

    @pytest.mark.parametrize("distance", ["l2", "smooth_l1"])
    def test_distance_of_features(self, labels: dict[str, Any], distance: str) -> None:
        model = make(visual_feat_distance=distance)
        output = model(**make_batch(), **labels)
        targets, masked = labels["obj_labels"]["feat"]
        differences = (output.visual_predictions["feat"] - targets).abs()
        each = differences**2
        if distance == "smooth_l1":
            each = torch.where(differences < 1, each / 2, differences - 0.5)
        expected = sum(each[i, j].mean().item() for i, j in masked.nonzero().tolist())
        assert output.losses["feat"].item() == pytest.approx(expected / 15 / 0.15, rel=1e-5)


class TestSavingAndResizing:
    def test_the_decoder_stays_tied(self, model: LxmertForPreTraining, tmp_path: Path) -> None:
        nn.init.normal_(model.cls.predictions.bias)
        model.save_pretrained(tmp_path)
        loaded = LxmertForPreTraining.from_pretrained(tmp_path)
        assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
        assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)
        assert torch.equal(loaded.cls.predictions.bias, model.cls.predictions.bias)
        with torch.no_grad():
            loaded.get_input_embeddings().weight[5, 0] += 1
            changed = loaded(**make_batch()).prediction_logits - model(**make_batch()).prediction_logits
        assert changed[..., 5].abs().max() > 0.1

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("size", [64, 40])
    def test_resizing_the_vocabulary(self, size: int, tied: bool) -> None:
        model = make(tie_word_embeddings=tied).bfloat16()
        nn.init.normal_(model.cls.predictions.bias)
        before, kept = model.cls.predictions.bias.detach().clone(), min(size, 60)
        embeddings = model.resize_token_embeddings(size, mean_resizing=False)
        bias, decoder = model.cls.predictions.bias, model.get_output_embeddings()
        assert isinstance(bias, nn.Parameter)
        assert (embeddings.num_embeddings, bias.shape, bias.dtype) == (size, (size,), torch.bfloat16)
        assert torch.equal(bias[:kept], before[:kept])
        assert not bias[kept:].any()
        assert (decoder.weight is embeddings.weight) == tied
        assert decoder.weight.shape == (size, 32)
        inputs = make_batch(vocab_size=40)
        assert model(**inputs).prediction_logits.shape == (3, 9, size)
        assert model(**inputs, labels=inputs["input_ids"]).loss.isfinite()
        assert model.resize_token_embeddings(size) is embeddings
        assert model.cls.predictions.bias is bias

    def test_resizing_stays_on_the_device(self) -> None:
        with torch.device("meta"):
            model = LxmertForPreTraining(LxmertConfig(**SMALL))
        model.resize_token_embeddings(70, mean_resizing=False)
        assert model.cls.predictions.bias.device.type == "meta"
        assert model.cls.predictions.bias.shape == (70,)

    def test_the_encoders_and_the_answers_go_on_to_question_answering(
        self, model: LxmertForPreTraining, tmp_path: Path
    ) -> None:
        model.set_answers(["red", "green", "blue"], unnamed_rows="drop")
        model.save_pretrained(tmp_path)
        answering, report = LxmertForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert answering.config.id2label == {0: "red", 1: "green", 2: "blue"}
        expected = model(**make_batch()).question_answering_score
        # not bit for bit: the answer head's last layer computes [CLS] alone
        torch.testing.assert_close(answering.eval()(**make_batch()).logits, expected, atol=1e-6, rtol=0)

        carried = answering.set_answers(["blue", "yellow", "red"])
        assert (carried.found, carried.new, carried.dropped) == (["blue", "red"], ["yellow"], ["green"])
        scores = answering(**make_batch()).logits
        torch.testing.assert_close(scores[:, [2, 0]], expected[:, [0, 2]])

    def test_auto_class(self, model: LxmertForPreTraining, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        loaded = AutoModelForPreTraining.from_pretrained(tmp_path)
        assert type(loaded) is LxmertForPreTraining
        assert torch.equal(loaded(**make_batch()).prediction_logits, model(**make_batch()).prediction_logits)


@pytest.mark.parametrize("return_logits", [True, False])
def test_losses_in_half_precision_are_close(
    model: LxmertForPreTraining, labels: dict[str, Any], return_logits: bool
) -> None:
    expected = model(**make_batch(), **labels)
    half = model.bfloat16()(**make_batch(), **labels, return_logits=return_logits)
    half.loss.backward()
    for name, loss in expected.losses.items():
        assert half.losses[name].dtype == torch.float32
        torch.testing.assert_close(half.losses[name], loss, atol=0.02, rtol=0.02, msg=lambda m, n=name: f"{n}: {m}")
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_one_image_serves_many_sentences(model: LxmertForPreTraining, labels: dict[str, Any]) -> None:
    inputs = make_batch()
    one = {name: inputs[name][:1] for name in ("visual_feats", "visual_pos")}
    repeated = {name: tensor.expand(3, -1, -1) for name, tensor in one.items()}
    expected = model(inputs["input_ids"], **repeated, **labels)
    output = model(inputs["input_ids"], **one, **labels)
    torch.testing.assert_close(output.loss, expected.loss)
    encoded = model.lxmert.encode_regions(**one)
    cached = model(inputs["input_ids"], encoded_regions=encoded, **labels)
    torch.testing.assert_close(cached.loss, expected.loss)


@pytest.mark.slow
def test_learns_64_examples_of_every_task_by_heart() -> None:
    """Random targets, among them features to predict from boxes: only a model that can learn all tasks at once does."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "l_layers": 1, "r_layers": 1, "x_layers": 1}
    model = make(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    inputs, labels, steps = make_batch(batch=64), make_labels(batch=64), 160
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps, pct_start=0.1)
    history = []
    for _ in range(steps):
        output = model(**inputs, **labels, return_logits=False)
        output.loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        history.append({task: loss.item() for task, loss in output.losses.items()})
    assert history[0].keys() == set(TASKS)
    for task in TASKS:
        assert history[0][task] > 0.5, task
        assert history[-1][task] < 0.05, task
    for task, (right, judged) in output.correct.items():
        assert right >= judged - 2 > 40, task  # a label of no confidence is not learnt
