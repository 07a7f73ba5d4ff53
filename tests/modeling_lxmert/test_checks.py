"""Targets of pre-training that are refused; other inputs are in test_model.py."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lxmert import LxmertConfig, LxmertForPreTraining
from tests.conftest import make_batch
from tests.modeling_lxmert.labels import make_labels

ONES = torch.ones(3, 5)
CLASSES = torch.ones(3, 5).long()


def visual(**pairs: Any) -> dict[str, Any]:
    """Labels of all visual tasks, some replaced."""
    return {"obj_labels": make_labels()["obj_labels"] | pairs}


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ({"labels": torch.zeros(3, 8).long()}, ValueError, r"labels must be class ids \(3, 9\), got \(3, 8\)"),
        ({"labels": torch.full((3, 9), 60)}, ValueError, r"labels must be class ids in 0..59 .*got 60"),
        ({"labels": torch.full((3, 9), -2)}, ValueError, r"in 0..59 \(or -100 or -1 for none\), got -2"),
        ({"labels": torch.zeros(3, 9)}, TypeError, r"labels must be class ids of an integer type, got torch.float32"),
        ({"labels": [[1] * 9] * 3}, TypeError, r"labels must be class ids of an integer type, got list"),
        ({"matched_label": torch.tensor([1, 0])}, ValueError, r"matched_label must be class ids \(3,\), got \(2,\)"),
        ({"matched_label": torch.tensor([1, 0, 2])}, ValueError, r"matched_label must be class ids in 0..1 .*got 2"),
        ({"matched_label": torch.ones(3)}, TypeError, r"matched_label must be .* integer type, got torch.float32"),
        ({"matched_label": torch.ones(3).bool()}, TypeError, r"matched_label must be .* integer type, got torch.bool"),
        ({"ans": torch.tensor([0, 7, 1])}, ValueError, r"ans must be class ids in 0..6 .*got 7"),
        ({"ans": torch.tensor([0, 1])}, ValueError, r"ans must be class ids \(3,\) or scores \(3, 7\), got \(2,\)"),
        ({"ans": torch.zeros(3, 6)}, ValueError, r"ans must be class ids \(3,\) or scores \(3, 7\), got \(3, 6\)"),
        ({"ans": torch.full((3, 7), 2.0)}, ValueError, r"ans must be scores in \[0, 1\], got 2..2"),
        ({"ans": torch.zeros(3)}, TypeError, r"ans must be class ids of an integer type, got torch.float32"),
        ({"ans": [0, 1, 2]}, TypeError, r"ans must be class ids of an integer type, got list"),
        (visual(objects=(CLASSES, ONES)), ValueError, r"obj_labels knows obj, attr and feat, got 'objects'"),
        (visual(obj=CLASSES), TypeError, r"obj_labels\['obj'\] must be a pair of tensors"),
        (visual(obj=(CLASSES,)), TypeError, r"obj_labels\['obj'\] must be a pair of tensors"),
        (visual(attr=(CLASSES, 1.0)), TypeError, r"obj_labels\['attr'\] must be a pair of tensors"),
        ({"obj_labels": (CLASSES, ONES)}, TypeError, r"obj_labels must be a dictionary by visual task, got tuple"),
        (visual(obj=(CLASSES + 4, ONES)), ValueError, r"obj_labels\['obj'\]\[0\] must be class ids in 0..4 .*got 5"),
        (visual(attr=(CLASSES + 2, ONES)), ValueError, r"obj_labels\['attr'\]\[0\] must be .* in 0..2 .*got 3"),
        (visual(obj=(ONES, ONES)), TypeError, r"obj_labels\['obj'\]\[0\] must be .* integer type, got torch.float32"),
        (visual(obj=(CLASSES[:, :4], ONES)), ValueError, r"obj_labels\['obj'\]\[0\] must be class ids \(3, 5\)"),
        (visual(obj=(CLASSES, ONES[:, :4])), ValueError, r"obj_labels\['obj'\]\[1\] must have the shape \(3, 5\)"),
        (
            visual(feat=(torch.zeros(3, 5, 11), ONES)),
            ValueError,
            r"obj_labels\['feat'\]\[0\] must have the shape \(3, 5, 12\) of visual_feats, got \(3, 5, 11\)",
        ),
        (visual(feat=(ONES, ONES)), ValueError, r"obj_labels\['feat'\]\[0\] must have the shape \(3, 5, 12\)"),
        (
            visual(feat=(torch.zeros(3, 5, 12), torch.ones(3, 5, 12))),
            ValueError,
            r"obj_labels\['feat'\]\[1\] must have the shape \(3, 5\) of the regions, got \(3, 5, 12\)",
        ),
        (
            visual(feat=(torch.full((3, 5, 12), float("nan")), ONES)),
            ValueError,
            r"obj_labels\['feat'\]\[0\] holds NaN or infinite values",
        ),
    ],
)
def test_bad_targets_are_refused(
    small_config: Callable[..., LxmertConfig], labels: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LxmertForPreTraining(small_config())(**make_batch(), **labels)


def test_masked_label_regions_need_the_mask(small_config: Callable[..., LxmertConfig]) -> None:
    config = small_config(visual_label_regions="masked", visual_feat_loss=False)
    model, labels = LxmertForPreTraining(config), make_labels()["obj_labels"]
    objects = {"obj": labels["obj"]}
    with pytest.raises(ValueError, match=r'visual_label_regions="masked" needs obj_labels\["feat"\], .* the mask'):
        model(**make_batch(), obj_labels=objects)
    assert list(model(**make_batch(), obj_labels=objects | {"feat": labels["feat"]}).losses) == ["obj"]
    without_regions = LxmertForPreTraining(small_config(visual_label_regions="masked", task_obj_predict=False))
    assert without_regions(**make_batch(), obj_labels=objects).losses == {}


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (
            {"grounding_labels": torch.ones(3, 9, 4).long()},
            ValueError,
            r"grounding_labels must be class ids \(3, 9, 5\), got \(3, 9, 4\)",
        ),
        ({"grounding_labels": torch.ones(3, 9).long()}, ValueError, r"grounding_labels must be class ids \(3, 9, 5\)"),
        (
            {"grounding_labels": torch.full((3, 9, 5), 2, dtype=torch.int8)},
            ValueError,
            r"grounding_labels must be class ids in 0..1 \(or -100 or -1 for none\), got 2",
        ),
        ({"grounding_labels": torch.ones(3, 9, 5)}, TypeError, r"grounding_labels must be .* got torch.float32"),
        ({"grounding_labels": torch.ones(3, 9, 5).bool()}, TypeError, r"grounding_labels must be .* got torch.bool"),
        ({"count_labels": torch.ones(3, 8).long()}, ValueError, r"count_labels must be class ids \(3, 9\)"),
        ({"count_labels": torch.full((3, 9), 4)}, ValueError, r"count_labels must be class ids in 0..3 .*got 4"),
        ({"count_labels": torch.full((3, 9), -2)}, ValueError, r"count_labels must be class ids in 0..3 .*got -2"),
        ({"count_labels": torch.ones(3, 9)}, TypeError, r"count_labels must be .* got torch.float32"),
    ],
)
def test_labels_of_grounding_that_are_refused(
    small_config: Callable[..., LxmertConfig], labels: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LxmertForPreTraining(small_config(task_grounding=True, num_count_labels=4))(**make_batch(), **labels)


def test_an_unknown_keyword_of_pretraining_is_named(small_config: Callable[..., LxmertConfig]) -> None:
    with pytest.raises(TypeError, match=r"unknown keyword `matched_labels` \(did you mean `matched_label`\?\)"):
        LxmertForPreTraining(small_config())(**make_batch(), matched_labels=torch.ones(3).long())
