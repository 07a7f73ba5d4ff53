"""Answer heads that move from one answer list to another; resizing is in test_question_answering.py."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForQuestionAnswering

from lxmert import (
    LxmertConfig,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
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
        model = make(LxmertForPreTraining)
    report = model.set_answers(["no", "blue"])
    assert report.found == ["no"]
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


def test_a_model_with_a_new_list_learns_and_is_saved(tmp_path: Path) -> None:
    model = make(LxmertForQuestionAnswering)
    model.set_answers(["blue", "no"])
    loss = model(**make_batch(), labels=torch.tensor([0, 1, 1])).loss
    loss.backward()
    assert model.get_qa_logit_layer().weight.grad.abs().sum() > 0
    model.save_pretrained(tmp_path)
    loaded = LxmertForQuestionAnswering.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "blue", 1: "no"}
    assert torch.equal(loaded.eval()(**make_batch()).logits, model(**make_batch()).logits)


NEW = ["blue", "no", "red"]  # of OLD, "no" is row 2 and "red" row 0


def config_of(answers: list[str] | int) -> LxmertConfig:
    """The small configuration with answer texts, or with a number of answers only."""
    labels = {"num_qa_labels": answers} if isinstance(answers, int) else {"id2label": dict(enumerate(answers))}
    return LxmertConfig(**SMALL | {"num_qa_labels": None} | labels)


def saved(folder: Path, answers: list[str] | int = OLD, kind: type = LxmertForQuestionAnswering) -> LxmertAnswering:
    """A checkpoint whose rows differ in weights and biases; its model."""
    torch.manual_seed(0)
    model = kind(config_of(answers)).eval()
    if kind is not LxmertModel:
        torch.nn.init.normal_(model.get_qa_logit_layer().bias)
    model.save_pretrained(folder)
    return model


WAYS = {
    "id2label": lambda folder, answers: {"id2label": dict(enumerate(answers))},
    "id2label as in JSON": lambda folder, answers: {"id2label": {str(i): text for i, text in enumerate(answers)}},
    "label2id": lambda folder, answers: {"label2id": {text: i for i, text in enumerate(answers)}},
    "labels and their number": lambda folder, answers: {
        "id2label": dict(enumerate(answers)),
        "num_labels": len(answers),
    },
    "config": lambda folder, answers: {"config": config_of(answers)},
    "folder of a config": lambda folder, answers: {"config": other_config(folder, answers)},
}


def other_config(folder: Path, answers: list[str]) -> Path:
    config_of(answers).save_pretrained(folder / "other")
    return folder / "other"


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("way", WAYS)
def test_loading_with_other_answers_takes_the_rows_by_text(
    way: str, kind: type[LxmertAnswering], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = saved(tmp_path, kind=kind)
    keywords = WAYS[way](tmp_path, NEW)
    model = kind.from_pretrained(tmp_path, **keywords)
    assert model.config.id2label == dict(enumerate(NEW))
    assert model.config.label2id == {text: i for i, text in enumerate(NEW)}
    assert model.num_qa_labels == model.get_qa_logit_layer().out_features == 3
    assert not any(module.training for module in model.modules())
    expected = source(**make_batch()).question_answering_score[:, [2, 0]]
    torch.testing.assert_close(model(**make_batch()).question_answering_score[:, 1:], expected)
    messages = [record.getMessage() for record in caplog.records]
    report = "2 of 3 answers carried over, 1 new, 2 dropped"
    assert messages == [f"Answer head of {tmp_path}, moved to the given answers: {report}."]
    if "config" in keywords and isinstance(keywords["config"], LxmertConfig):
        assert keywords["config"].id2label == dict(enumerate(NEW)), "the caller's object is not changed"


def test_as_many_other_answers_are_not_mistaken_for_the_same(tmp_path: Path) -> None:
    source = saved(tmp_path)
    model = LxmertForQuestionAnswering.from_pretrained(tmp_path, id2label=dict(enumerate(["no", "red", "two", "x"])))
    rows, old = model.get_qa_logit_layer().weight, source.get_qa_logit_layer().weight
    assert torch.equal(rows[:3], old[[2, 0, 1]])
    assert not (rows[3] == old).any()


def test_a_new_order_alone_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = saved(tmp_path)
    with caplog.at_level(logging.INFO, logger="lxmert"):
        model = LxmertForQuestionAnswering.from_pretrained(tmp_path, id2label=dict(enumerate(OLD[::-1])))
    assert torch.equal(model(**make_batch()).logits, source(**make_batch()).logits.flip(1))
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "4 of 4 answers carried over, 0 new, 0 dropped" in caplog.text


@pytest.mark.parametrize("keywords", [{}, {"id2label": dict(enumerate(OLD))}, {"num_labels": 4}])
def test_the_same_answers_load_as_ever(
    keywords: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = saved(tmp_path)
    with caplog.at_level(logging.INFO, logger="lxmert"):
        model = LxmertForQuestionAnswering.from_pretrained(tmp_path, **keywords)
    assert model.config.id2label == dict(enumerate(OLD))
    assert torch.equal(model(**make_batch()).logits, source(**make_batch()).logits)
    assert not caplog.records


def test_auto_classes_go_by_text_too(tmp_path: Path) -> None:
    source = saved(tmp_path)
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path, id2label=dict(enumerate(NEW)))
    assert torch.equal(model.get_qa_logit_layer().weight[1:], source.get_qa_logit_layer().weight[[2, 0]])


def test_other_keywords_do_what_they_did(tmp_path: Path) -> None:
    source = saved(tmp_path / "inside")
    labels = dict(enumerate(NEW))
    model, report = LxmertForQuestionAnswering.from_pretrained(
        tmp_path,
        id2label=labels,
        subfolder="inside",
        revision="main",
        dtype=torch.bfloat16,
        attn_implementation="eager",
        output_attentions=True,
        output_loading_info=True,
        local_files_only=True,
    )
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model.get_qa_logit_layer().weight[1:], source.get_qa_logit_layer().weight[[2, 0]].bfloat16())
    assert model.config._attn_implementation == "eager"
    assert model.config.output_attentions
    with pytest.raises(TypeError, match="hiden_size"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path / "inside", id2label=labels, hiden_size=3)
    with pytest.raises(ValueError, match="id2label has 3 answers but num_qa_labels is 4"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path / "inside", id2label=labels, num_qa_labels=4)
    with pytest.raises(ValueError, match="answers holds 'no' twice"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path / "inside", id2label={0: "no", 1: "no"})
    with pytest.raises(OSError, match="nowhere"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path / "nowhere", id2label=labels)


def test_weights_without_a_configuration_follow_the_given_one(tmp_path: Path) -> None:
    source = saved(tmp_path)
    (tmp_path / "config.json").unlink()
    model = LxmertForQuestionAnswering.from_pretrained(tmp_path, config=config_of(OLD[::-1]))
    assert torch.equal(model.get_qa_logit_layer().weight, source.get_qa_logit_layer().weight)
    from_memory = LxmertForQuestionAnswering.from_pretrained(
        None, config=config_of(OLD), state_dict=source.state_dict()
    )
    assert torch.equal(from_memory(**make_batch()).logits, source(**make_batch()).logits)


def published(folder: Path, answers: int = 4) -> transformers.PreTrainedModel:
    """A checkpoint of transformers' own class: a number of answers and no texts."""
    torch.manual_seed(0)
    config = transformers.LxmertConfig(**SMALL | {"num_qa_labels": answers})
    model = transformers.LxmertForQuestionAnswering(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("way", WAYS)
def test_rows_without_texts_take_as_many_names(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = published(tmp_path)
    caplog.clear()
    model = LxmertForQuestionAnswering.from_pretrained(tmp_path, **WAYS[way](tmp_path, OLD))
    assert model.config.id2label == dict(enumerate(OLD))
    expected = source(**make_batch()).question_answering_score
    torch.testing.assert_close(model(**make_batch()).logits, expected, atol=1e-5, rtol=1e-5)
    assert not caplog.records


@pytest.mark.parametrize("way", WAYS)
def test_rows_without_texts_refuse_other_numbers_of_names(way: str, tmp_path: Path) -> None:
    source = published(tmp_path)
    message = (
        rf"The answer head in {tmp_path} has 4 rows without answer texts, but 3 answers are given: .* name_answers "
        r"with the 4 answers .* set_answers with yours; or pass ignore_mismatched_sizes=True"
    )
    with pytest.raises(ValueError, match=message):
        LxmertForQuestionAnswering.from_pretrained(tmp_path, **WAYS[way](tmp_path, NEW))
    keywords = WAYS[way](tmp_path, NEW)
    model = LxmertForQuestionAnswering.from_pretrained(tmp_path, **keywords, ignore_mismatched_sizes=True)
    assert model.config.id2label == dict(enumerate(NEW))
    assert not model.get_qa_logit_layer().bias.any(), "fresh"
    assert torch.equal(model.lxmert.pooler.dense.weight, source.lxmert.pooler.dense.weight)


def test_a_number_alone_is_left_to_transformers(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path, num_labels=3)


@pytest.mark.parametrize("answers", [OLD, 9])
def test_a_checkpoint_without_a_head_gives_a_fresh_one(
    answers: list[str] | int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, answers, LxmertModel)
    model, report = LxmertForQuestionAnswering.from_pretrained(
        tmp_path, id2label=dict(enumerate(NEW)), output_loading_info=True
    )
    assert model.config.id2label == dict(enumerate(NEW))
    assert len(report["missing_keys"]) == 6
    assert model.get_qa_logit_layer().out_features == 3
    assert "carried over" not in caplog.text


def test_encoders_of_other_sizes_are_transformers_error(tmp_path: Path) -> None:
    published(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        LxmertForQuestionAnswering.from_pretrained(tmp_path, id2label=dict(enumerate(NEW)), intermediate_size=40)


def test_answers_of_a_model_without_a_head_are_only_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LxmertConfig(**SMALL | {"num_qa_labels": None}, id2label=dict(enumerate(OLD)), task_qa=False)
    LxmertForPreTraining(config).save_pretrained(tmp_path)
    model = LxmertForPreTraining.from_pretrained(tmp_path, id2label=dict(enumerate(NEW)))
    assert model.config.id2label == dict(enumerate(NEW))
    assert model.get_qa_logit_layer() is None


def test_rows_without_texts_are_named(tmp_path: Path) -> None:
    published(tmp_path)
    model = LxmertForQuestionAnswering.from_pretrained(tmp_path)
    before = model(**make_batch()).logits
    model.name_answers(answer for answer in OLD)
    assert model.config.id2label == dict(enumerate(OLD))
    assert model.config.label2id["no"] == 2
    assert torch.equal(model(**make_batch()).logits, before)
    model.name_answers(OLD)  # the same once more says nothing new
    report = model.set_answers(NEW)
    assert report.found == ["no", "red"]
    torch.testing.assert_close(model(**make_batch()).logits[:, 1:], before[:, [2, 0]])


@pytest.mark.parametrize(
    ("old", "answers", "message"),
    [
        (4, NEW, r"answers must name the 4 rows of the head in their order, got 3: find the list"),
        (OLD, OLD[:3], r"answers must name the 4 rows of the head in their order, got 3"),
        (OLD, OLD[::-1], r"has answers already, and row 0 is 'red', not 'on the table': .* set_answers moves one"),
        (4, ["a", "b", "a", "c"], r"answers holds 'a' twice"),
        (4, [], r"answers holds no answer"),
    ],
)
def test_names_that_are_refused(old: list[str] | int, answers: list[str], message: str) -> None:
    model = LxmertForPreTraining(config_of(old))
    before = dict(model.config.id2label)
    with pytest.raises(ValueError, match=message):
        model.name_answers(answers)
    assert model.config.id2label == before
    with pytest.raises(ValueError, match="task_qa is off"):
        LxmertForPreTraining(LxmertConfig(**SMALL, task_qa=False)).name_answers(answers)


def test_rows_without_texts_are_not_thrown_away_unasked() -> None:
    model = LxmertForQuestionAnswering(LxmertConfig(**SMALL))
    before = model.get_qa_logit_layer()
    with pytest.raises(ValueError, match=r"7 rows of the head have no answer texts.*call name_answers .* first"):
        model.set_answers(["yes", "no"])
    assert model.get_qa_logit_layer() is before
    report = model.set_answers(["yes", "no"], unnamed_rows="drop")
    assert (report.found, report.new) == ([], ["yes", "no"])
    with pytest.raises(ValueError, match="unnamed_rows must be"):
        model.set_answers(["yes"], unnamed_rows="keep")  # type: ignore[arg-type]


def test_a_row_that_was_added_has_no_text_to_be_found_by() -> None:
    model = make(LxmertForQuestionAnswering)
    model.resize_num_qa_labels(5)
    assert model.set_answers(["LABEL_4", "no"]).found == ["no"]


@pytest.mark.parametrize("method", ["set_answers", "name_answers"])
def test_answers_are_several_texts(method: str) -> None:
    model = make(LxmertForQuestionAnswering)
    with pytest.raises(TypeError, match="answers must be several texts, got the one text 'yes'"):
        getattr(model, method)("yes")
    with pytest.raises(TypeError, match="answers must be texts, got 1"):
        getattr(model, method)([1, 2])
    assert model.set_answers(answer for answer in ("no", "red")).found == ["no", "red"]
    with pytest.raises(TypeError, match="num_labels must be a whole number, got True"):
        model.resize_num_qa_labels(True)


def test_a_head_for_two_images_is_not_read_in_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reasoning = LxmertForVisualReasoning(LxmertConfig(**SMALL))
    torch.nn.init.normal_(reasoning.answer_head.logit_fc[-1].weight)
    torch.nn.init.normal_(reasoning.answer_head.logit_fc[2].weight)
    reasoning.save_pretrained(tmp_path)
    for model_class in CLASSES:
        caplog.clear()
        model, report = model_class.from_pretrained(
            tmp_path, id2label={0: "red", 1: "blue", 2: "green"}, output_loading_info=True
        )
        assert torch.equal(model.lxmert.pooler.dense.weight, reasoning.lxmert.pooler.dense.weight)
        assert list(model.config.id2label.values()) == ["red", "blue", "green"]
        assert torch.equal(model.answer_head.logit_fc[2].weight, torch.ones(64)), "fresh"
        assert "answer_head.logit_fc.2.weight" in report["missing_keys"]
        assert "reads another number of images" in caplog.text
