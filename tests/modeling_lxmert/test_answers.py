"""Answer heads that move from one answer list to another; resizing is in test_question_answering.py."""

import pytest
import torch

from lxmert import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering
from lxmert.modeling_lxmert.answers import LxmertAnswering
from tests.conftest import SMALL, make_batch

OLD = ["red", "two", "no", "on the table"]
CLASSES = [LxmertForPreTraining, LxmertForQuestionAnswering]


def make(model_class: type[LxmertAnswering], answers: list[str] = OLD) -> LxmertAnswering:
    torch.manual_seed(0)
    sizes = {name: value for name, value in SMALL.items() if name != "num_qa_labels"}
    model = model_class(LxmertConfig(**sizes, id2label=dict(enumerate(answers)))).eval()
    torch.nn.init.normal_(model.get_qa_logit_layer().bias)
    return model


@pytest.mark.parametrize("model_class", CLASSES)
def test_rows_go_with_the_texts(model_class: type[LxmertAnswering]) -> None:
    model = make(model_class)
    before = model(**make_batch()).question_answering_score
    report = model.set_answers(["blue", "no", "three", "red", "five"])
    assert (report.found, report.new, report.dropped) == (
        ["no", "red"],
        ["blue", "three", "five"],
        ["two", "on the table"],
    )
    assert str(report) == "2 of 5 answers carried over, 3 new, 2 dropped"
    after = model(**make_batch()).question_answering_score
    torch.testing.assert_close(after[:, [1, 3]], before[:, [2, 0]])
    new = model.get_qa_logit_layer()
    assert new.weight[[0, 2, 4]].abs().max() < 0.2, "freshly initialised"
    assert new.weight[[0, 2, 4]].abs().min() > 0
    assert not new.bias[[0, 2, 4]].any()
    assert model.config.id2label == {0: "blue", 1: "no", 2: "three", 3: "red", 4: "five"}
    assert model.config.label2id["five"] == 4
    assert model.config.num_qa_labels == model.config.num_labels == model.num_qa_labels == new.out_features == 5


def test_the_same_list_in_another_order_changes_no_answer() -> None:
    model = make(LxmertForQuestionAnswering)
    before = model(**make_batch()).logits
    report = model.set_answers(OLD[::-1])
    assert (report.found, report.new, report.dropped) == (OLD[::-1], [], [])
    assert torch.equal(model(**make_batch()).logits, before.flip(1))


def test_texts_are_compared_after_cleaning() -> None:
    model = make(LxmertForQuestionAnswering, ["Red", "red ", "two"])
    rows = model.get_qa_logit_layer().weight.clone()
    report = model.set_answers(["RED", "2"], normalize=lambda text: text.strip().lower())
    assert (report.found, report.new, report.dropped) == (["RED"], ["2"], ["two"])
    assert torch.equal(model.get_qa_logit_layer().weight[0], rows[0]), "the first of equal answers wins"
    assert model.config.id2label == {0: "RED", 1: "2"}, "texts stay as given"

    plain = make(LxmertForQuestionAnswering, ["Red", "red "])
    assert plain.set_answers(["red"]).found == ["red"], "space around an answer never counts"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_stays(dtype: torch.dtype) -> None:
    model = make(LxmertForPreTraining).to(dtype)
    row = model.get_qa_logit_layer().weight[1].clone()
    model.set_answers(["blue", "two"])
    layer = model.get_qa_logit_layer()
    assert (layer.weight.dtype, layer.bias.dtype) == (dtype, dtype)
    assert torch.equal(layer.weight[1], row)
    assert layer.weight.requires_grad


def test_the_device_stays() -> None:
    with torch.device("meta"):
        model = LxmertForPreTraining(LxmertConfig(**SMALL))
    report = model.set_answers(["LABEL_3", "blue"])
    assert report.found == ["LABEL_3"]
    assert {parameter.device.type for parameter in model.answer_head.parameters()} == {"meta"}
    assert model.resize_num_qa_labels(9).weight.device.type == "meta"


def test_answers_that_are_refused() -> None:
    model = make(LxmertForPreTraining)
    layer = model.get_qa_logit_layer()
    with pytest.raises(ValueError, match=r"answers holds 'red' twice: every answer needs one class id"):
        model.set_answers(["red", "blue", "red"])
    with pytest.raises(ValueError, match="answers holds no answer"):
        model.set_answers([])
    assert model.get_qa_logit_layer() is layer
    assert list(model.config.id2label.values()) == OLD
    without = LxmertForPreTraining(LxmertConfig(**SMALL, task_qa=False))
    with pytest.raises(ValueError, match="task_qa is off in this model's configuration: it has no answer head"):
        without.set_answers(["red"])
    assert without.resize_num_qa_labels(5) is None


def test_a_model_with_a_new_list_learns_and_is_saved(tmp_path: object) -> None:
    model = make(LxmertForQuestionAnswering)
    model.set_answers(["blue", "no"])
    loss = model(**make_batch(), labels=torch.tensor([0, 1, 1])).loss
    loss.backward()
    assert model.get_qa_logit_layer().weight.grad.abs().sum() > 0
    model.save_pretrained(tmp_path)
    loaded = LxmertForQuestionAnswering.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "blue", 1: "no"}
    assert torch.equal(loaded.eval()(**make_batch()).logits, model(**make_batch()).logits)
