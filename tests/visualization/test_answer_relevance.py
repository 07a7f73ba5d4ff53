"""Relevance: on a model whose answer is known to rest on one word and one region, in batches, and what goes wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering, LxmertForVisualReasoning, LxmertModel
from lxmert.visualization import METHODS, relevance
from lxmert.visualization.relevance_rules import WITHOUT_GRADIENT, normalised
from tests.conftest import make_batch, make_masks
from tests.visualization.toy_model import (
    ANSWERS,
    KEY_WORD,
    LOUD_REGION,
    LOUD_WORD,
    MARKED_REGION,
    toy_inputs,
    toy_model,
)


@pytest.mark.parametrize(("key", "value"), [("yes", "plus"), ("yes", "minus"), ("no", "plus"), ("no", "minus")])
def test_the_toy_model_reads_one_word_and_one_region(key: str, value: str) -> None:
    model = toy_model(layers=3)
    said = ANSWERS[model(**toy_inputs(key, value)).logits.argmax().item()]
    assert said == f"{key} {value}"
    changed = toy_inputs(
        key, value, words=("calm", "KEY", "quiet", "quiet"), regions=(("other", "plus"),) * 4 + (("marked", "VALUE"),)
    )
    assert ANSWERS[model(**changed).logits.argmax().item()] == said


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("key", "value"), [("yes", "plus"), ("no", "minus")])
def test_generic_relevance_finds_them_wherever_the_layer_is(layers: int, key: str, value: str) -> None:
    found = relevance(toy_model(layers), toy_inputs(key, value))
    assert found.words[0].argmax() == KEY_WORD
    assert found.regions[0].argmax() == MARKED_REGION
    # what the loud ones get is a small part
    assert found.words[0, LOUD_WORD] < 0.05 * found.words[0, KEY_WORD]
    assert found.regions[0, LOUD_REGION] < 0.05 * found.regions[0, MARKED_REGION]


def test_gradient_attention_finds_them_in_the_last_layer_and_fails_where_an_earlier_layer_did_it() -> None:
    found = relevance(toy_model(1), toy_inputs(), method="gradient_attention")
    assert (found.words[0].argmax(), found.regions[0].argmax()) == (KEY_WORD, MARKED_REGION)
    failed = relevance(toy_model(3), toy_inputs(), method="gradient_attention")
    assert not failed.words.any()
    assert not failed.regions.any()


def test_attention_grad_cam_fails() -> None:
    """A head's mean gradient says nothing of the one place where its gradient is: the claim is empty."""
    for layers in (1, 3):
        found = relevance(toy_model(layers), toy_inputs(), method="attention_grad_cam")
        assert found.words.max() < 1e-3
        assert found.regions.max() < 1e-3


@pytest.mark.parametrize("method", sorted(WITHOUT_GRADIENT))
def test_attention_alone_cannot_tell_what_is_carried_over_from_what_is_only_looked_at(method: str) -> None:
    found = relevance(toy_model(1), toy_inputs(), method=method)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.regions[0, MARKED_REGION], found.regions[0, LOUD_REGION], atol=1e-4)
    np.testing.assert_allclose(found.words[0, KEY_WORD], found.words[0, LOUD_WORD], atol=1e-4)
    late = relevance(toy_model(3), toy_inputs(), method=method)  # type: ignore[arg-type]
    assert np.ptp(late.regions[0]) < 1e-3  # the last layers look at everything alike


def test_each_answer_has_its_own_explanation() -> None:
    model = toy_model()
    likely, unlikely = (relevance(model, toy_inputs("yes", "plus"), answer) for answer in ("yes plus", "no plus"))
    assert likely.answers == (0,)
    assert unlikely.answers == (2,)
    assert unlikely.scores[0] < likely.scores[0]
    # the key word speaks for "yes plus" and against "no plus", the region for both
    assert likely.words[0, KEY_WORD] > 0.3
    assert unlikely.words[0, KEY_WORD] < 0.02
    assert unlikely.regions[0].argmax() == MARKED_REGION


@pytest.mark.parametrize("method", METHODS)
def test_a_padded_batch_gives_what_each_pair_gives_alone(small_model: LxmertForQuestionAnswering, method: str) -> None:
    inputs = make_batch() | make_masks()
    together = relevance(small_model, inputs, [0, 3, 6], method)  # type: ignore[arg-type]
    for row, answer in enumerate((0, 3, 6)):
        alone = relevance(small_model, {name: value[row : row + 1] for name, value in inputs.items()}, answer, method)  # type: ignore[arg-type]
        for name in ("words", "regions", "words_to_words", "words_to_regions", "regions_to_words", "scores"):
            np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name)[0], atol=1e-6, err_msg=name)
        words, regions = inputs["attention_mask"][row] == 0, inputs["visual_attention_mask"][row] == 0
        assert not together.words[row, words.numpy()].any()
        assert not together.regions[row, regions.numpy()].any()


def test_the_model_is_left_as_it_was(small_model: LxmertForQuestionAnswering) -> None:
    small_model.train()
    small_model.config.hidden_dropout_prob = 0.5
    small_model.set_attn_implementation("sdpa")
    for name, parameter in small_model.named_parameters():
        parameter.requires_grad_("x_layers" in name)
    before = {name: value.clone() for name, value in small_model.state_dict().items()}
    first = relevance(small_model, make_batch())
    with torch.inference_mode():
        second = relevance(small_model, make_batch())
    np.testing.assert_array_equal(first.words, second.words)  # no dropout, and none of its state
    assert small_model.training
    assert small_model.config._attn_implementation == "sdpa"
    assert all(parameter.requires_grad == ("x_layers" in name) for name, parameter in small_model.named_parameters())
    assert all(parameter.grad is None for parameter in small_model.parameters())
    assert all(torch.equal(before[name], value) for name, value in small_model.state_dict().items())


def test_a_frozen_model_gives_the_same(small_model: LxmertForQuestionAnswering) -> None:
    expected = relevance(small_model, make_batch())
    small_model.requires_grad_(False)
    np.testing.assert_array_equal(relevance(small_model, make_batch()).words, expected.words)
    assert not any(parameter.requires_grad for parameter in small_model.parameters())


def test_inference_tensors_can_be_explained(small_model: LxmertForQuestionAnswering) -> None:
    with torch.inference_mode():
        inputs = {name: value.clone() for name, value in make_batch().items()}
    np.testing.assert_array_equal(relevance(small_model, inputs).words, relevance(small_model, make_batch()).words)


def test_half_precision(small_model: LxmertForQuestionAnswering) -> None:
    exact = relevance(small_model, make_batch(), 2)
    rough = relevance(small_model.to(torch.bfloat16), make_batch(), 2)
    assert rough.words.dtype == np.float32
    np.testing.assert_allclose(rough.regions, exact.regions, atol=0.1 * exact.regions.max())


def test_pairs_of_images_and_pretraining_heads(small_config: Callable[..., LxmertConfig]) -> None:
    torch.manual_seed(0)
    pairs = relevance(LxmertForVisualReasoning(small_config()).eval(), make_batch(images=2), "true")
    assert pairs.words.shape == (6, 9)  # left and right of three
    assert pairs.answers == (1, 1, 1)
    assert (pairs.regions.sum(1) > 0).all()
    torch.manual_seed(0)
    assert relevance(LxmertForPreTraining(small_config()).eval(), make_batch()).regions.shape == (3, 5)


def test_rows_with_nothing_beyond_themselves_stay() -> None:
    found = normalised(torch.tensor([[[1.0, 0.0], [2.0, 3.0]]]))
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0.0], [0.5, 1.5]]]))


def test_without_encoders_of_one_modality(small_config: Callable[..., LxmertConfig]) -> None:
    """The original divides 0 by 0 here."""
    torch.manual_seed(0)
    model = LxmertForQuestionAnswering(small_config(l_layers=0, r_layers=0)).eval()
    for method in METHODS:
        found = relevance(model, make_batch(), method=method)
        assert np.isfinite(found.words).all()
        assert np.isfinite(found.regions).all()
        assert found.regions.max() > 0 or method == "attention_grad_cam"  # whose rows can be all zero


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("yes pluss", ValueError, "'yes pluss' is not among the model's 4 answers; the nearest are 'yes plus'"),
        ("zebra", ValueError, "config.id2label lists them"),
        (4, ValueError, "answer 4 is not among the model's 4 answers, 0 to 3"),
        (-1, ValueError, "answer -1"),
        (True, TypeError, "class id or a text, got True"),
        (1.5, TypeError, "class id or a text, got 1.5"),
        ([0, 1], ValueError, "one answer for each of the 1 pairs, or one for all, got 2"),
    ],
)
def test_answers_that_there_are_not(answer: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        relevance(toy_model(), toy_inputs(), answer)  # type: ignore[arg-type]


def test_what_cannot_be_explained(
    small_config: Callable[..., LxmertConfig], small_model: LxmertForQuestionAnswering
) -> None:
    with pytest.raises(ValueError, match="method must be one of generic, .*got 'grad'"):
        relevance(small_model, make_batch(), method="grad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no answer that could be explained: load it with a head"):
        relevance(LxmertModel(small_config()), make_batch())
    with pytest.raises(ValueError, match="x_layers is 0"):
        relevance(LxmertForQuestionAnswering(small_config(x_layers=0)), make_batch())
    batch = make_batch()
    regions = small_model.lxmert.encode_regions(batch["visual_feats"], batch["visual_pos"])
    with pytest.raises(ValueError, match="encoded_regions hide what the encoders looked at"):
        relevance(small_model, {"input_ids": batch["input_ids"], "encoded_regions": regions})
    empty = batch | {"visual_feats": batch["visual_feats"][:, :0], "visual_pos": batch["visual_pos"][:, :0]}
    with pytest.raises(ValueError, match="visual_feats holds zero regions: give at least one"):
        relevance(small_model, empty)


def test_a_compiled_model_gives_the_same() -> None:
    """In a compiled graph scores do not depend on maps, so that every gradient would be 0."""
    expected = relevance(toy_model(), toy_inputs())
    assert expected.words.any()
    model = toy_model()
    model.compile(backend="aot_eager")
    np.testing.assert_allclose(relevance(model, toy_inputs()).words, expected.words, atol=1e-6)
    wrapped = torch.compile(toy_model(), backend="aot_eager")
    np.testing.assert_allclose(relevance(wrapped, toy_inputs()).regions, expected.regions, atol=1e-6)


def test_scores_that_no_gradient_leads_from_are_refused() -> None:
    model = toy_model()
    model.answer_head.register_forward_hook(lambda module, inputs, output: output.detach())
    with pytest.raises(ValueError, match="No gradient leads from the model's scores to its attention"):
        relevance(model, toy_inputs())
    assert relevance(model, toy_inputs(), method="rollout").words.any()


def test_parts_in_another_mode_stay_in_it() -> None:
    model = toy_model().train()
    model.lxmert.encoder.eval()
    relevance(model, toy_inputs())
    assert model.training
    assert model.lxmert.pooler.training
    assert not any(module.training for module in model.lxmert.encoder.modules())


def test_models_that_return_tuples_are_asked_for_more() -> None:
    model = toy_model()
    model.config.return_dict = False
    np.testing.assert_array_equal(relevance(model, toy_inputs()).words, relevance(toy_model(), toy_inputs()).words)


@pytest.mark.parametrize(
    "answer", [torch.tensor([2]), torch.tensor(2), np.array([2]), np.array(2), np.int64(2), "no plus"]
)
def test_answers_come_as_numbers_texts_arrays_and_tensors(answer: Any) -> None:
    assert relevance(toy_model(), toy_inputs(), answer).answers == (2,)


def test_a_text_of_several_answers_is_refused() -> None:
    model = toy_model()
    model.config.id2label = {0: "yes", 1: "no", 2: "yes", 3: "yes"}
    with pytest.raises(ValueError, match="'yes' is the text of the answers 0, 2, 3: give one of these ids"):
        relevance(model, toy_inputs(), "yes")
    assert relevance(model, toy_inputs(), "no").answers == (1,)


def test_models_of_others_are_refused() -> None:
    with pytest.raises(TypeError, match="must be an LXMERT model, got DataParallel; of a wrapper, give what it wraps"):
        relevance(torch.nn.DataParallel(toy_model()), toy_inputs())
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    layers = {"l_layers": 1, "r_layers": 1, "x_layers": 1, "visual_feat_dim": 12, "num_qa_labels": 4}
    theirs = transformers.LxmertForQuestionAnswering(transformers.LxmertConfig(**sizes, **layers)).eval()
    with pytest.raises(TypeError, match="cross_encoder_vision_attentions, .* are missing in the output"):
        relevance(theirs, make_batch())
