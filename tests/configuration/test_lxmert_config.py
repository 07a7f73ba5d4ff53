import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from lxmert import LxmertConfig


def test_defaults_are_the_papers_size() -> None:
    config = LxmertConfig()
    assert (config.l_layers, config.r_layers, config.x_layers) == (9, 5, 5)
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (768, 12, 3072)
    assert (config.vocab_size, config.visual_feat_dim, config.num_qa_labels) == (30522, 2048, 9500)
    assert config.visual_loss_normalizer == pytest.approx(6.6666667)
    assert not config.task_grounding, "it is not the paper's"
    assert config.num_hidden_layers == {"language": 9, "vision": 5, "cross_encoder": 5}


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"hiden_size": 8}, TypeError, r"unknown keyword `hiden_size` \(did you mean `hidden_size`\?\)"),
        ({"l_layer": 1, "zzz": 2}, TypeError, r"keywords `l_layer` \(did you mean `l_layers`\?\), `zzz`"),
        ({"hidden_size": "768"}, TypeError, r"'hidden_size' expected int, got str"),
        ({"hidden_size": 770}, ValueError, r"hidden_size \(770\) must be a multiple of num_attention_heads \(12\)"),
        ({"hidden_act": "gleu"}, ValueError, r"hidden_act 'gleu' is unknown; transformers has .*gelu"),
        ({"vocab_size": 0}, ValueError, r"vocab_size must be at least 1, got 0"),
        ({"visual_feat_dim": -1}, ValueError, r"visual_feat_dim must be at least 1, got -1"),
        ({"r_layers": -1}, ValueError, r"r_layers must not be negative, got -1"),
        ({"hidden_dropout_prob": 1.0}, ValueError, r"hidden_dropout_prob must be a probability in \[0, 1\), got 1.0"),
        ({"visual_feat_distance": "l1"}, TypeError, r"visual_feat_distance.*smooth_l1.*l2"),
        ({"visual_label_regions": "some"}, TypeError, r"visual_label_regions.*all.*masked"),
        ({"visual_loss_normalizer": -0.5}, ValueError, r"visual_loss_normalizer must not be negative, got -0.5"),
        ({"num_count_labels": 0}, ValueError, r"num_count_labels must be at least 1, got 0"),
        ({"grounding_loss_weight": -1.0}, ValueError, r"grounding_loss_weight must not be negative, got -1.0"),
        ({"count_loss_weight": -1}, ValueError, r"count_loss_weight must not be negative, got -1"),
        ({"task_grounding": 1}, TypeError, r"'task_grounding' expected bool, got int"),
        ({"num_object_labels": 0}, ValueError, r"num_object_labels must be at least 1, got 0"),
        ({"num_qa_labels": 3, "id2label": {0: "a"}}, ValueError, r"id2label has 1 answers but num_qa_labels is 3"),
        ({"num_qa_labels": 3, "num_labels": 4}, ValueError, r"num_labels \(4\) and num_qa_labels \(3\)"),
        ({"id2label": {0: "a"}, "label2id": {"b": 0}}, ValueError, r"id2label and label2id disagree"),
        ({"id2label": {0: "a", 2: "b"}}, ValueError, r"ids 0 to 1, each once"),
    ],
)
def test_bad_values_are_refused(keywords: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LxmertConfig(**keywords)


def test_whole_numbers_become_floats_where_transformers_wants_them(tmp_path: Path) -> None:
    LxmertConfig(visual_loss_normalizer=2, initializer_range=1).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert [repr(values[name]) for name in ("visual_loss_normalizer", "initializer_range")] == ["2.0", "1.0"]


def test_assignment_is_validated() -> None:
    config = LxmertConfig()
    with pytest.raises(TypeError, match="'l_layers' expected int, got str"):
        config.l_layers = "nine"


def test_labels_and_their_number_follow_from_each_other() -> None:
    assert LxmertConfig(id2label={0: "no", 1: "yes"}).num_qa_labels == 2
    assert LxmertConfig(label2id={"no": 0, "yes": 1}).id2label == {0: "no", 1: "yes"}
    assert LxmertConfig(id2label={"1": "yes", "0": "no"}).label2id == {"no": 0, "yes": 1}
    assert LxmertConfig(num_qa_labels=3).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert LxmertConfig(num_labels=3).num_qa_labels == 3
    # transformers writes two default labels whatever the head's size
    assert LxmertConfig(num_qa_labels=3129, id2label={0: "LABEL_0", 1: "LABEL_1"}).num_labels == 3129


def test_num_labels_can_be_set() -> None:
    config = LxmertConfig(id2label={0: "no", 1: "yes"})
    config.num_labels = 2
    assert config.id2label == {0: "no", 1: "yes"}
    config.num_labels = 3
    assert config.num_qa_labels == len(config.id2label) == len(config.label2id) == 3


def test_save_and_load_keep_everything(tmp_path: Path) -> None:
    config = LxmertConfig(
        hidden_size=24,
        visual_loss_normalizer=6.67,
        visual_feat_distance="l2",
        id2label={0: "no", 1: "yes"},
        task_qa=False,
        task_grounding=True,
        num_count_labels=4,
    )
    config.save_pretrained(tmp_path)
    for loaded in (LxmertConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is LxmertConfig
        where = {"_name_or_path", "transformers_version"}
        kept = {name: value for name, value in loaded.to_dict().items() if name not in where}
        assert kept == {name: value for name, value in config.to_dict().items() if name not in where}
        assert loaded.id2label == {0: "no", 1: "yes"}
        assert loaded.visual_loss_normalizer == 6.67
        assert (loaded.task_grounding, loaded.num_count_labels) == (True, 4)


def test_default_labels_do_not_fill_the_file(tmp_path: Path) -> None:
    LxmertConfig().save_pretrained(tmp_path)
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    assert len(LxmertConfig.from_pretrained(tmp_path).id2label) == 9500


def test_dictionaries_and_files_of_ours_make_the_same_configuration(tmp_path: Path) -> None:
    config = LxmertConfig(hidden_size=24, id2label={0: "no", 1: "yes"})
    config.save_pretrained(tmp_path)
    assert LxmertConfig(**config.to_dict()).to_dict() == config.to_dict()
    assert LxmertConfig(**config.to_diff_dict()).to_dict() == config.to_dict()
    assert LxmertConfig.from_json_file(tmp_path / "config.json").hidden_size == 24
    with pytest.raises(TypeError, match="unknown keyword `num_hidden_layers`"):
        LxmertConfig(num_hidden_layers=12)
    with pytest.raises(TypeError, match="unknown keyword `model_type`"):
        LxmertConfig(model_type="bert")


def test_overrides_on_loading(tmp_path: Path) -> None:
    LxmertConfig(id2label={0: "no", 1: "yes"}).save_pretrained(tmp_path)
    assert LxmertConfig.from_pretrained(tmp_path, num_labels=3).id2label[2] == "LABEL_2"
    assert LxmertConfig.from_pretrained(tmp_path, id2label={0: "red"}).num_qa_labels == 1
    with pytest.raises(ValueError, match="multiple of num_attention_heads"):
        LxmertConfig.from_pretrained(tmp_path, hidden_size=10)
    assert LxmertConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "no", 1: "yes"}
    with pytest.raises(TypeError, match="did you mean `hidden_size`"):
        LxmertConfig.from_pretrained(tmp_path, hiden_size=10)
    _, unused = LxmertConfig.from_pretrained(tmp_path, hiden_size=10, return_unused_kwargs=True)
    assert unused == {"hiden_size": 10}


def test_loaders_own_keywords_are_no_misspellings(tmp_path: Path) -> None:
    LxmertConfig().save_pretrained(tmp_path)
    loading = {"torch_dtype": "float32", "revision": "main", "subfolder": "", "trust_remote_code": False}
    assert str(LxmertConfig.from_pretrained(tmp_path, **loading).dtype).endswith("float32")
    assert str(LxmertConfig.from_pretrained(tmp_path, dtype="bfloat16").dtype).endswith("bfloat16")


def test_the_default_labels_of_an_old_file_do_not_bar_an_override() -> None:
    old = {"num_qa_labels": 3129, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    assert LxmertConfig.from_dict(dict(old), num_labels=2).num_qa_labels == 2
    assert LxmertConfig.from_dict(dict(old), num_labels=3129).num_qa_labels == 3129


def test_unknown_fields_of_a_file_are_kept_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="lxmert"):
        config = LxmertConfig.from_dict({"mode": "lxr", "finetuned": True, "max_length": 20, "auto_map": {"a": "b"}})
    assert (config.mode, config.finetuned, config.auto_map) == ("lxr", True, {"a": "b"})
    assert [record.getMessage() for record in caplog.records] == [
        "Fields of the configuration that LXMERT does not know were kept: finetuned, mode."
    ]
