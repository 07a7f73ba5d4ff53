import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
)

from lxmert import (
    LxmertConfig,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.modeling_lxmert.starting_points import (
    read_original_checkpoint,
    start_from_original,
    start_language_encoder_from_bert,
)
from tests.conftest import SMALL, make_batch, make_masks
from tests.parity.golden import golden_state_dict

BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
    "num_hidden_layers": 2,
}


def make_bert(bert_class: type[PreTrainedModel] = BertForPreTraining, **overrides: Any) -> PreTrainedModel:
    torch.manual_seed(3)
    bert = bert_class(BertConfig(**(BERT | overrides))).eval()
    for parameter in bert.parameters():  # biases start at 0 and layer normalisations at 1: make them count
        torch.nn.init.normal_(parameter, std=0.3)
    return bert


def make(model_class: type = LxmertForPreTraining, **overrides: Any) -> Any:
    torch.manual_seed(0)
    return model_class(LxmertConfig(**(SMALL | overrides))).eval()


def encoder_of(model: Any) -> LxmertModel:
    return model if isinstance(model, LxmertModel) else model.lxmert


class TestFromBert:
    @pytest.mark.parametrize(
        "bert_class", [BertModel, BertForPreTraining, BertForMaskedLM, BertForSequenceClassification]
    )
    @pytest.mark.parametrize("model_class", [LxmertModel, LxmertForPreTraining, LxmertForQuestionAnswering])
    @pytest.mark.parametrize("where", ["in memory", "in a folder"])
    def test_the_language_encoder_is_berts(
        self, model_class: type, bert_class: type[PreTrainedModel], where: str, tmp_path: Path
    ) -> None:
        bert, model = make_bert(bert_class), make(model_class)
        if where == "in a folder":
            bert.save_pretrained(tmp_path)
        report = start_language_encoder_from_bert(model, bert if where == "in memory" else tmp_path)
        words, mask = make_batch()["input_ids"], make_masks()["attention_mask"]
        types = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]] * 3)
        with torch.no_grad():
            expected = bert.base_model(words, mask, types).last_hidden_state
            found = encoder_of(model).encode_text(words, mask, types)
        shown = mask.bool()
        torch.testing.assert_close(found[shown], expected[shown], atol=1e-6, rtol=1e-6)

        has_head = bert_class in (BertForPreTraining, BertForMaskedLM)
        heads = {name for name in report.found if name.startswith("cls.")}
        tied = {"cls.predictions.decoder.weight"}
        if model_class is LxmertForPreTraining:
            assert len(heads) == (6 if has_head else 1)
            assert heads >= tied
        assert sum(name.startswith("lxmert.") for name in report.found) == 5 + 2 * 16
        assert not report.mismatched
        assert not report.notes
        assert all(not name.startswith("lxmert.") for name in report.left_over)

    def test_the_head_for_masked_words_is_berts(self) -> None:
        bert, model = make_bert(), make()
        before = model.cls.seq_relationship.weight.clone()
        report = start_language_encoder_from_bert(model, bert)
        states = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model.cls.predictions(states), bert.cls.predictions(states), atol=1e-5, rtol=1e-5)
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert sorted(report.left_over) == [
            *("bert.pooler.dense.bias", "bert.pooler.dense.weight"),
            *("cls.seq_relationship.bias", "cls.seq_relationship.weight"),
        ]
        assert torch.equal(model.cls.seq_relationship.weight, before), "next sentence is another question"
        every = set(report.found) | set(report.new)
        assert every == set(model.state_dict())
        assert not set(report.found) & set(report.new)

    def test_a_folder_leaves_over_what_is_in_its_file(self, tmp_path: Path) -> None:
        for bert_class, left in ((BertForPreTraining, 4), (BertForMaskedLM, 0), (BertModel, 2)):
            make_bert(bert_class).save_pretrained(tmp_path)
            assert len(start_language_encoder_from_bert(make(), tmp_path).left_over) == left

    def test_language_layers_beyond_berts_stay_random(self, caplog: pytest.LogCaptureFixture) -> None:
        model = make(l_layers=3)
        before = model.lxmert.encoder.layer[2].intermediate.dense.weight.clone()
        with caplog.at_level(logging.WARNING, logger="lxmert"):
            report = start_language_encoder_from_bert(model, make_bert())
        said = "The last 1 of 3 language layers stay random: BERT has 2."
        assert [record.getMessage() for record in caplog.records] == report.notes == [said]
        assert said in str(report)
        assert torch.equal(model.lxmert.encoder.layer[2].intermediate.dense.weight, before)
        assert sum(name.startswith("lxmert.encoder.layer.2.") for name in report.new) == 16

    def test_layers_of_bert_beyond_ours_are_dropped(self) -> None:
        bert, model = make_bert(num_hidden_layers=4), make()
        report = start_language_encoder_from_bert(model, bert)
        assert report.notes == ["The last 2 of BERT's 4 layers are dropped: l_layers is 2."]
        words = make_batch()["input_ids"]
        expected = bert.bert(words, output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(model.lxmert.encode_text(words), expected, atol=1e-6, rtol=1e-6)
        assert sum(name.startswith("lxmert.encoder.layer.") for name in report.left_over) == 32

    @pytest.mark.parametrize(("berts", "ours"), [(12, 16), (32, 16)])
    def test_tables_of_other_lengths_share_their_first_rows(self, berts: int, ours: int) -> None:
        bert, model = make_bert(max_position_embeddings=berts, type_vocab_size=3), make()
        before = model.lxmert.embeddings.position_embeddings.weight.clone()
        report = start_language_encoder_from_bert(model, bert)
        table, rows = model.lxmert.embeddings.position_embeddings.weight, min(berts, ours)
        assert torch.equal(table[:rows], bert.bert.embeddings.position_embeddings.weight[:rows])
        assert torch.equal(table[rows:], before[rows:])
        assert report.notes[0] == (
            f"lxmert.embeddings.position_embeddings.weight: the first {rows} rows were read, of {berts} there and "
            f"{ours} here."
        )
        assert "token_type_embeddings" in report.notes[1]
        words = make_batch()["input_ids"]
        expected = bert.bert(words).last_hidden_state
        torch.testing.assert_close(model.lxmert.encode_text(words), expected, atol=1e-6, rtol=1e-6)

    def test_dtype_stays(self) -> None:
        model = make().bfloat16()
        start_language_encoder_from_bert(model, make_bert())
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"hidden_size": 64}, r"hidden_size is 32 in the LXMERT but 64 in the BERT: build the LXMERT with"),
            ({"num_attention_heads": 2}, r"num_attention_heads is 4 .* but 2 .*LxmertConfig\(num_attention_heads=2\)"),
            ({"intermediate_size": 64}, r"intermediate_size is 48 in the LXMERT but 64 in the BERT"),
            ({"vocab_size": 61}, r"vocab_size is 60 in the LXMERT but 61 in the BERT"),
            ({"hidden_act": "relu"}, r"hidden_act is 'gelu' in the LXMERT but 'relu' in the BERT"),
            ({"is_decoder": True}, r"is_decoder is True in the BERT, .*: take an encoder"),
        ],
    )
    def test_other_berts_are_refused(self, overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
        model, bert = make(), make_bert(BertModel, **overrides)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        bert.save_pretrained(tmp_path)
        for source in (bert, tmp_path):
            with pytest.raises(ValueError, match=message):
                start_language_encoder_from_bert(model, source)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_relative_positions_are_refused(self) -> None:
        bert = make_bert()
        bert.config.position_embedding_type = "relative_key"  # as in the config.json of older versions
        with pytest.raises(ValueError, match="position_embedding_type is 'relative_key' in the BERT"):
            start_language_encoder_from_bert(make(), bert)

    def test_another_layer_normalisation_is_said(self) -> None:
        report = start_language_encoder_from_bert(make(), make_bert(layer_norm_eps=1e-5))
        assert report.notes == ["BERT's layer_norm_eps is 1e-05, LXMERT's is 1e-12."]

    def test_other_models_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="bert must hold a BertModel of transformers, got LxmertModel"):
            start_language_encoder_from_bert(make(), make(LxmertModel))
        DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_heads=4, n_layers=1, hidden_dim=48)).save_pretrained(
            tmp_path
        )
        with pytest.raises(ValueError, match="must be a BERT checkpoint, got the model type 'distilbert'"):
            start_language_encoder_from_bert(make(), tmp_path)


def original_file(folder: Path, model: Any, **prefixes: str) -> Path:
    """A `.pth` as the original code writes it, from the weights of a model of ours."""
    content = {}
    for name, tensor in model.state_dict().items():
        for ours, originals in prefixes.items():
            if name.startswith(f"{ours}."):
                content[originals + name.removeprefix(f"{ours}.")] = tensor.clone()
                break
        else:
            content[prefixes.get("others", "") + name] = tensor.clone()
    path = folder / "model_LXRT.pth"
    torch.save(content, path)
    return path


def golden(model_class: type, **overrides: Any) -> Any:
    model = make(model_class, **overrides)
    model.load_state_dict(golden_state_dict(model.state_dict()))
    return model


PRETRAINING = {"lxmert": "bert."}
PRETRAINING_PARALLEL = {"lxmert": "module.bert.", "others": "module."}
FINE_TUNING = {"lxmert": "lxrt_encoder.model.bert.", "answer_head.logit_fc": "logit_fc."}
FINE_TUNING_PARALLEL = {"lxmert": "lxrt_encoder.model.module.bert.", "answer_head.logit_fc": "logit_fc."}
FINE_TUNING_WHOLLY_PARALLEL = {
    "lxmert": "module.lxrt_encoder.model.bert.",
    "answer_head.logit_fc": "module.logit_fc.",
}


class TestFromTheOriginal:
    @pytest.mark.parametrize("prefixes", [PRETRAINING, PRETRAINING_PARALLEL])
    @pytest.mark.parametrize("model_class", [LxmertModel, LxmertForPreTraining, LxmertForQuestionAnswering])
    def test_files_of_pretraining(self, model_class: type, prefixes: dict[str, str], tmp_path: Path) -> None:
        source, model = golden(LxmertForPreTraining), make(model_class)
        report = start_from_original(model, original_file(tmp_path, source, **prefixes))
        assert not report.new
        assert not report.mismatched
        here = "lxmert." if model_class is LxmertModel else ""
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[here + name]), name
        assert {name.split(".")[0] for name in report.left_over} == {
            LxmertModel: {"cls", "obj_predict_head", "answer_head"},
            LxmertForPreTraining: set(),
            LxmertForQuestionAnswering: {"cls", "obj_predict_head"},
        }[model_class]
        assert set(report.found) == {here + name for name in model.state_dict()}

    @pytest.mark.parametrize("prefixes", [FINE_TUNING, FINE_TUNING_PARALLEL, FINE_TUNING_WHOLLY_PARALLEL])
    def test_files_of_fine_tuning(self, prefixes: dict[str, str], tmp_path: Path) -> None:
        source, model = golden(LxmertForQuestionAnswering), make(LxmertForQuestionAnswering)
        report = start_from_original(model, original_file(tmp_path, source, **prefixes))
        assert not report.new
        assert not report.left_over
        assert not report.mismatched
        assert torch.equal(model(**make_batch()).logits, source(**make_batch()).logits)

    def test_the_tied_decoder_is_found_without_its_entry(self, tmp_path: Path) -> None:
        source, model = golden(LxmertForPreTraining), make()
        path = original_file(tmp_path, source, **PRETRAINING)
        content = torch.load(path)
        del content["cls.predictions.decoder.weight"]
        torch.save(content, path)
        report = start_from_original(model, path)
        assert "cls.predictions.decoder.weight" in report.found
        assert not report.new
        assert torch.equal(model(**make_batch()).prediction_logits, source(**make_batch()).prediction_logits)

    def test_a_decoder_of_its_own_is_not_read_into_a_tied_one(self, tmp_path: Path) -> None:
        source, model = golden(LxmertForPreTraining, tie_word_embeddings=False), make()
        torch.nn.init.normal_(source.get_output_embeddings().weight)
        path = original_file(tmp_path, source, **PRETRAINING)
        report = start_from_original(model, path)
        assert torch.equal(model.get_output_embeddings().weight, source.get_input_embeddings().weight)
        assert report.notes == [
            "cls.predictions.decoder.weight is tied to lxmert.embeddings.word_embeddings.weight here; "
            "its other values there were not read."
        ]
        untied = make(tie_word_embeddings=False)
        assert not start_from_original(untied, path).notes
        assert torch.equal(untied.get_output_embeddings().weight, source.get_output_embeddings().weight)

    def test_another_number_of_answers_is_reported(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        source = golden(LxmertForPreTraining, num_qa_labels=11, visual_attr_loss=False)
        model = make()
        before = model.get_qa_logit_layer().weight.clone()
        with caplog.at_level(logging.WARNING, logger="lxmert"):
            report = start_from_original(model, original_file(tmp_path, source, **PRETRAINING))
        assert report.mismatched == {
            "answer_head.logit_fc.3.weight": ((11, 64), (7, 64)),
            "answer_head.logit_fc.3.bias": ((11,), (7,)),
        }
        assert report.new == ["obj_predict_head.decoder_dict.attr.weight", "obj_predict_head.decoder_dict.attr.bias"]
        assert torch.equal(model.get_qa_logit_layer().weight, before)
        assert "leaves 4 weights of LxmertForPreTraining as they were" in caplog.text

    def test_files_of_nlvr2(self, tmp_path: Path) -> None:
        source, model = golden(LxmertForVisualReasoning), make(LxmertForVisualReasoning)
        report = start_from_original(model, original_file(tmp_path, source, **FINE_TUNING))
        assert set(report.found) == set(model.state_dict())
        assert not report.left_over
        assert not report.notes
        inputs = make_batch(images=2)
        assert torch.equal(model(**inputs).logits, source(**inputs).logits)

    @pytest.mark.parametrize(
        ("from_class", "to_class"),
        [
            (LxmertForPreTraining, LxmertForVisualReasoning),
            (LxmertForVisualReasoning, LxmertForQuestionAnswering),
            (LxmertForVisualReasoning, LxmertForPreTraining),
        ],
    )
    def test_a_head_for_another_number_of_images_is_not_read_in_part(
        self, from_class: type, to_class: type, tmp_path: Path
    ) -> None:
        source, model = golden(from_class, num_qa_labels=2), make(to_class, num_qa_labels=2)
        before = copy.deepcopy(model.answer_head.state_dict())
        report = start_from_original(model, original_file(tmp_path, source, **PRETRAINING))
        for name, tensor in before.items():
            assert torch.equal(model.answer_head.state_dict()[name], tensor), name
        assert torch.equal(model.lxmert.pooler.dense.weight, source.lxmert.pooler.dense.weight)
        head = {f"answer_head.{name}" for name in before}
        assert head <= set(report.new)
        assert head <= set(report.left_over)
        assert report.notes == ["The answer head reads another number of images there: nothing of it was read."]

    def test_the_report_is_readable(self, tmp_path: Path) -> None:
        source = golden(LxmertForPreTraining, num_qa_labels=11)
        model = make(LxmertForQuestionAnswering, l_layers=3)
        report = start_from_original(model, original_file(tmp_path, source, **PRETRAINING))
        assert str(report).splitlines() == [
            "found: 167 (lxmert.embeddings 5, lxmert.encoder.visn_fc 8, lxmert.encoder.layer.0-1 32, "
            "lxmert.encoder.x_layers.0-1 84, lxmert.encoder.r_layers.0-1 32, lxmert.pooler 2, "
            "answer_head.logit_fc.0,2 4)",
            "new: 16 (lxmert.encoder.layer.2 16)",
            "left over: 18 (cls.predictions 6, cls.seq_relationship 2, obj_predict_head.transform 4, "
            "obj_predict_head.decoder_dict 6)",
            "mismatched: 2 (answer_head.logit_fc.3.weight (11, 64) there, (7, 64) here, "
            "answer_head.logit_fc.3.bias (11,) there, (7,) here)",
        ]

    def test_the_format_of_2019_is_read(self, tmp_path: Path) -> None:
        source, model = golden(LxmertForPreTraining), make()
        path = original_file(tmp_path, source, **PRETRAINING_PARALLEL)
        torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
        assert not start_from_original(model, path).new

    def test_code_in_a_file_is_refused_and_not_run(self, tmp_path: Path) -> None:
        path, trace = tmp_path / "model_LXRT.pth", tmp_path / "trace"
        for new_format in (True, False):
            torch.save({"bert.x": Touching(trace)}, path, _use_new_zipfile_serialization=new_format)
            with pytest.raises(ValueError, match=r"holds Python objects, .* any code, .* never done here.*trust"):
                read_original_checkpoint(path)
            assert not trace.exists()
        torch.load(path, weights_only=False)
        assert trace.exists(), "the file does nothing, so refusing it proves nothing"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"no checkpoint at all", "does not load as plain tensors: it is damaged"),
            (b"", "does not load as plain tensors"),
            (torch.zeros(3), "must hold tensors by name, .* got Tensor"),
            ({"model": {"bert.x": torch.zeros(1)}, "epoch": 3}, r"got dict with the keys \['epoch', 'model'\]"),
        ],
    )
    def test_other_files_are_refused(self, content: Any, message: str, tmp_path: Path) -> None:
        path = tmp_path / "model.pth"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            read_original_checkpoint(path)

    def test_files_without_any_fitting_weight_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "other.pth"
        torch.save({"encoder.weight": torch.zeros(1)}, path)
        with pytest.raises(ValueError, match=r"has no weight of LxmertForPreTraining; it has encoder.weight"):
            start_from_original(make(), path)
        with pytest.raises(FileNotFoundError):
            start_from_original(make(), tmp_path / "none.pth")


class Touching:
    """Creates a file when unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)
