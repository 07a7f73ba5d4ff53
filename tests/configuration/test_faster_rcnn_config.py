from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoConfig

from lxmert import FasterRcnnConfig
from lxmert.configuration.detectron import config_fields, image_processor_fields, read_original_config

# A config.yaml in Detectron's layout, cut to what is read.
ORIGINAL: dict[str, Any] = {
    "MIN_DETECTIONS": 10,
    "MAX_DETECTIONS": 100,
    "MODEL": {"MAX_POOL": True, "PIXEL_MEAN": [1.0, 2.0, 3.0], "PIXEL_STD": [1.0, 1.0, 1.0]},
    "INPUT": {"FORMAT": "BGR", "MIN_SIZE_TEST": 600, "MAX_SIZE_TEST": 1000},
    "RESNETS": {"DEPTH": 50, "NORM": "BN", "STEM_OUT_CHANNELS": 32, "RES2_OUT_CHANNELS": 128, "STRIDE_IN_1X1": False},
    "PROPOSAL_GENERATOR": {"HIDDEN_CHANNELS": 256, "MIN_SIZE": 0},
    "RPN": {"NMS_THRESH": 0.6, "PRE_NMS_TOPK_TEST": 1000, "POST_NMS_TOPK_TEST": 50, "BBOX_REG_WEIGHTS": [1, 1, 1, 1]},
    "ANCHOR_GENERATOR": {"SIZES": [[32, 64]], "ASPECT_RATIOS": [[0.5, 1.0]], "OFFSET": 0.0},
    "ROI_HEADS": {"NUM_CLASSES": 80, "SCORE_THRESH_TEST": 0.1, "NMS_THRESH_TEST": [0.4, 0.8]},
    "ROI_BOX_HEAD": {"NUM_ATTRS": 20, "POOLER_RESOLUTION": 7, "RES5HALVE": True, "ATTR": True},
}


def test_defaults_are_the_published_detector() -> None:
    config = FasterRcnnConfig()
    assert (config.num_objects, config.num_attributes, config.rpn_proposals) == (1600, 400, 300)
    assert config.selection == "raised_threshold"
    assert (config.min_boxes, config.max_boxes, list(config.nms_thresholds)) == (36, 36, [0.5, 0.6, 0.7])
    assert config.id2label[1599] == "LABEL_1599"


def test_names_are_saved_and_loaded(tmp_path: Path) -> None:
    config = FasterRcnnConfig(num_objects=2, num_attributes=1, object_names=["cat", "dog"], min_boxes=3)
    assert config.label2id == {"cat": 0, "dog": 1}
    config.set_names(attribute_names=["red"])
    config.save_pretrained(tmp_path)
    assert "id2label" not in (tmp_path / "config.json").read_text()
    for loaded in (FasterRcnnConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, FasterRcnnConfig)
        assert (loaded.object_names, loaded.attribute_names) == (("cat", "dog"), ("red",))
        assert (loaded.id2label, loaded.min_boxes) == ({0: "cat", 1: "dog"}, 3)
    assert FasterRcnnConfig.from_pretrained(tmp_path, max_boxes=40).max_boxes == 40


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"object_names": ["cat"]}, "object_names has 1 names for 1600 classes"),
        ({"min_boxes": 40}, r"min_boxes \(40\) must not be above max_boxes \(36\)"),
        ({"min_boxes": 0}, "min_boxes must be at least 1, got 0"),
        ({"depths": [1, 2, 3]}, "depths must have one number for each of res2 to res5"),
        ({"hidden_sizes": [6, 8, 8, 8]}, "hidden_sizes must be multiples of 4"),
        ({"nms_thresholds": [0.7, 0.5]}, "nms_thresholds must rise"),
        ({"nms_thresholds": []}, "nms_thresholds must hold at least one"),
        ({"rpn_nms_threshold": 1.5}, r"must lie in \[0, 1\]"),
        ({"anchor_sizes": [0]}, "anchor_sizes must be positive"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FasterRcnnConfig(**values)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="`max_box` \\(did you mean `max_boxes`"):
        FasterRcnnConfig(max_box=3)
    with pytest.raises(TypeError, match="Field 'selection' expected one of"):
        FasterRcnnConfig(selection="best")


def test_wrong_names_leave_an_error_that_says_how_many() -> None:
    with pytest.raises(ValueError, match="attribute_names has 1 names for 400 classes: give the list"):
        FasterRcnnConfig().set_names(attribute_names=["red"])


def lowered(value: Any) -> Any:
    return {key.lower(): lowered(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("content", [ORIGINAL, lowered(ORIGINAL)], ids=["capital", "small"])
def test_the_original_file_is_read(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    config = FasterRcnnConfig.from_pretrained(tmp_path, max_boxes=50)
    assert isinstance(config, FasterRcnnConfig)
    assert list(config.depths) == [3, 4, 6, 3]
    assert (config.embedding_size, list(config.hidden_sizes)) == (32, [128, 256, 512, 1024])
    assert (config.stride_in_1x1, config.res5_stride, config.res5_dilation, config.roi_pool_size) == (False, 2, 1, 7)
    assert (list(config.anchor_sizes), list(config.anchor_ratios)) == ([32, 64], [0.5, 1.0])
    assert (config.rpn_hidden_size, config.rpn_candidates, config.rpn_proposals) == (256, 1000, 50)
    assert (config.rpn_nms_threshold, list(config.nms_thresholds), config.score_threshold) == (0.6, [0.4, 0.8], 0.1)
    assert (config.num_objects, config.num_attributes, config.min_boxes, config.max_boxes) == (80, 20, 10, 50)
    assert image_processor_fields(read_original_config(tmp_path / "config.yaml")) == {
        "shorter_side": 600,
        "longer_side": 1000,
        "pixel_mean": [1.0, 2.0, 3.0],
    }


def test_config_json_goes_before_the_original_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(ORIGINAL))
    FasterRcnnConfig(rpn_proposals=7).save_pretrained(tmp_path)
    assert FasterRcnnConfig.from_pretrained(tmp_path).rpn_proposals == 7


def test_tuples_are_read_and_python_objects_are_not(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("roi_heads:\n  nms_thresh_test: !!python/tuple [0.4, 0.5]\n")
    assert config_fields(read_original_config(file)) == {"nms_thresholds": [0.4, 0.5]}
    file.write_text(f"roi_heads: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'touched'}]\n")
    with pytest.raises(ValueError, match="cannot be read as plain YAML"):
        read_original_config(file)
    assert not (tmp_path / "touched").exists()
    file.write_text("just words")
    with pytest.raises(ValueError, match="must hold settings by name, got str"):
        read_original_config(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"resnets": {"norm": "GN"}}, "resnets.norm is 'GN' in config.yaml, but only 'BN' or 'FrozenBN' can be built"),
        ({"resnets": {"depth": 18}}, "resnets.depth is 18"),
        ({"anchor_generator": {"sizes": [[1], [2]]}}, "anchor_generator.sizes has 2 levels"),
        ({"roi_box_head": {"cls_agnostic_bbox_reg": True}}, "cls_agnostic_bbox_reg is True"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config_fields(content)


def test_another_order_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="input.format is 'RGB' in config.yaml; the detector takes 'BGR'"):
        image_processor_fields({"input": {"format": "RGB"}})


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"has neither a config\.json nor a config\.yaml"):
        FasterRcnnConfig.from_pretrained(tmp_path)


def test_a_failed_naming_changes_nothing() -> None:
    config = FasterRcnnConfig(num_objects=3, object_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="object_names has 1 names for 3 classes"):
        config.set_names(["x"])
    with pytest.raises(TypeError, match="object_names must be a list of strings, got 'xyz'"):
        config.set_names("xyz")
    assert config.object_names == ("a", "b", "c")
    config.set_names(["x", "y", "z"])
    assert (config.object_names, config.id2label) == (("x", "y", "z"), {0: "x", 1: "y", 2: "z"})


def test_names_may_come_as_id2label(tmp_path: Path) -> None:
    assert FasterRcnnConfig(num_objects=2, id2label={0: "cat", 1: "dog"}).object_names == ("cat", "dog")
    assert FasterRcnnConfig(num_objects=2, label2id={"dog": 1, "cat": 0}).object_names == ("cat", "dog")
    assert FasterRcnnConfig(num_objects=2, id2label={0: "LABEL_0", 1: "LABEL_1"}).object_names is None
    with pytest.raises(ValueError, match="object_names and id2label disagree"):
        FasterRcnnConfig(num_objects=1, object_names=["cat"], id2label={0: "dog"})
    (tmp_path / "config.json").write_text('{"num_objects": 1, "id2label": {"0": "cat"}}')
    assert FasterRcnnConfig.from_pretrained(tmp_path).object_names == ("cat",)
    assert FasterRcnnConfig.from_pretrained(tmp_path, object_names=["dog"]).id2label == {0: "dog"}


def test_unknown_fields_of_a_file_are_kept_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "config.json").write_text('{"num_objects": 2, "author": "somebody"}')
    assert FasterRcnnConfig.from_pretrained(tmp_path).author == "somebody"
    assert "Fields that FasterRcnnConfig does not know were kept: author." in caplog.text


def test_a_misspelt_override_is_refused(tmp_path: Path) -> None:
    FasterRcnnConfig().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="`max_boxe` \\(did you mean `max_boxes`"):
        FasterRcnnConfig.from_pretrained(tmp_path, max_boxe=1)


def test_one_limit_moves_the_other_where_it_must(tmp_path: Path) -> None:
    FasterRcnnConfig(min_boxes=10, max_boxes=100).save_pretrained(tmp_path)
    for given, expected in (
        ({}, (10, 100)),
        ({"max_boxes": 50}, (10, 50)),
        ({"max_boxes": 5}, (5, 5)),
        ({"min_boxes": 200}, (200, 200)),
    ):
        config = FasterRcnnConfig.from_pretrained(tmp_path, **given)
        assert (config.min_boxes, config.max_boxes) == expected
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.yaml").write_text("max_detections: 20")
    config = FasterRcnnConfig.from_pretrained(tmp_path)
    assert (config.min_boxes, config.max_boxes) == (20, 20)
    assert FasterRcnnConfig.from_pretrained(tmp_path / "config.yaml").max_boxes == 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {"max_pool": False}}, "model.max_pool is False"),
        ({"rpn": {"bbox_reg_weights": [1, 1, 2, 2]}}, "rpn.bbox_reg_weights"),
        ({"model": {"roi_box_head": {"pooler_type": "ROIAlignV2"}}}, "pooler_type is 'ROIAlignV2'"),
        ({"resnets": {"width_per_group": 32}}, "width_per_group is 32 in config.yaml, but only 64"),
        ({"resnets": {"deform_on_per_stage": [False, True]}}, "deform_on_per_stage is True"),
        ({"roi_heads": "StandardROIHeads"}, "roi_heads is 'StandardROIHeads' in config.yaml, but must hold settings"),
        ({"model": [1]}, "model is \\[1\\] in config.yaml"),
    ],
)
def test_other_networks_are_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config_fields(content)


def test_what_is_written_otherwise_is_understood() -> None:
    nested = {"model": {"roi_heads": {"nms_thresh_test": 0.5, "num_classes": 7}, "resnets": {"norm": "FrozenBN"}}}
    assert config_fields(nested) == {"nms_thresholds": [0.5], "num_objects": 7}
    assert image_processor_fields({"input": {"format": "bgr"}, "model": {"pixel_std": None}}) == {}
    assert image_processor_fields({"model": {"pixel_std": 1.0}}) == {}
    with pytest.raises(ValueError, match="pixel_std is \\[58.0\\] in config.yaml"):
        image_processor_fields({"model": {"pixel_std": [58.0]}})
    with pytest.raises(ValueError, match="min_size_test is \\[600, 800\\]"):
        image_processor_fields({"input": {"min_size_test": [600, 800]}})


def test_all_defaults() -> None:
    """Those that the published detector was measured with; a checkpoint's file leaves them out."""
    config = FasterRcnnConfig()
    assert (config.rpn_candidates, config.rpn_nms_threshold) == (6000, 0.7)
    assert (config.per_class_nms_threshold, config.score_threshold) == (0.3, 0.2)
