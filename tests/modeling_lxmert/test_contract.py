from typing import Any

import pytest
import torch

from lxmert import (
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.modeling_lxmert import LxmertPreTrainedModel
from tests.conftest import make_batch
from tests.modeling_lxmert.contract import ModelContract
from tests.modeling_lxmert.labels import make_grounding_labels, make_labels


class TestLxmertModel(ModelContract):
    model_class = LxmertModel
    main_output = "pooled_output"


class TestLxmertForQuestionAnswering(ModelContract):
    model_class = LxmertForQuestionAnswering
    main_output = "question_answering_score"
    labels = {"labels": torch.tensor([0, 6, 3])}


class TestLxmertForQuestionAnsweringWithScores(ModelContract):
    model_class = LxmertForQuestionAnswering
    main_output = "question_answering_score"
    labels = {"labels": torch.linspace(0, 1, 21).reshape(3, 7)}


class TestLxmertForVisualReasoning(ModelContract):
    model_class = LxmertForVisualReasoning
    main_output = "logits"
    labels = {"labels": torch.tensor([1, -1, 0])}
    images = 2


class TestLxmertForImageAndTextRetrieval(ModelContract):
    model_class = LxmertForImageAndTextRetrieval
    main_output = "logits"
    labels = {"labels": torch.tensor([1, -100, 0])}


TASKS = {"task_mask_lm", "task_matched", "task_obj_predict", "task_qa"}
LOSSES = {"visual_obj_loss", "visual_attr_loss", "visual_feat_loss"}


class TestLxmertForPreTraining(ModelContract):
    model_class = LxmertForPreTraining
    main_output = "prediction_logits"
    labels = make_labels()

    @pytest.mark.parametrize("layers", [2, 0], ids=["two cross-modality layers", "no cross-modality layer"])
    @pytest.mark.parametrize(
        "off",
        [
            set(),
            *(TASKS - {task} for task in sorted(TASKS)),
            *({task} for task in sorted(TASKS)),
            LOSSES,
            *(LOSSES - {loss} for loss in sorted(LOSSES)),
            TASKS - {"task_obj_predict"} | LOSSES - {"visual_feat_loss"},
        ],
        ids=lambda off: "without " + (", ".join(sorted(off)) or "nothing"),
    )
    def test_what_learns_from_some_tasks(self, off: set[str], layers: int) -> None:
        self.check_what_learns(self.make(x_layers=layers, **dict.fromkeys(off, False)))

    @pytest.mark.parametrize("off", [TASKS, TASKS - {"task_obj_predict"} | LOSSES])
    def test_nothing_learns_without_a_task(self, off: set[str]) -> None:
        model = self.make(**dict.fromkeys(off, False))
        loss = self.loss(model, make_batch())
        assert loss.item() == 0
        assert not loss.requires_grad
        assert sorted(model.parameters_without_gradient()) == sorted(name for name, _ in model.named_parameters())

    @pytest.mark.parametrize("layers", [2, 0])
    def test_what_learns_without_tied_embeddings(self, layers: int) -> None:
        for off in (set(), {"task_mask_lm"}, TASKS - {"task_obj_predict"}):
            self.check_what_learns(self.make(x_layers=layers, tie_word_embeddings=False, **dict.fromkeys(off, False)))


class TestRegionsOfLxmertForPreTraining(ModelContract):
    """The same promises for what is predicted about regions."""

    model_class = LxmertForPreTraining
    main_output = "visual_predictions"
    labels = make_labels(nothing=-1, soft=True)

    def run(self, model: LxmertPreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            predictions = model(**inputs).visual_predictions
        return torch.cat([predictions[name] for name in ("obj", "attr", "feat")], dim=-1)


class TestGroundingOfLxmertForPreTraining(ModelContract):
    """The same promises for what words are said to mean."""

    model_class = LxmertForPreTraining
    main_output = "grounding_logits"
    labels = make_labels() | make_grounding_labels()

    def make(self, **overrides: object) -> LxmertPreTrainedModel:
        return super().make(**({"task_grounding": True} | overrides))

    def run(self, model: LxmertPreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            output = model(**inputs)
        return torch.cat([output.count_logits, output.grounding_logits], dim=-1)  # (B, T, num_count_labels + R)

    @staticmethod
    def _without_padding(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return got[:, : expected.shape[1], : expected.shape[2]]

    @pytest.mark.parametrize("layers", [2, 0], ids=["two cross-modality layers", "no cross-modality layer"])
    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("off", [TASKS, *(TASKS - {task} for task in sorted(TASKS)), {"task_obj_predict"}])
    def test_what_learns_beside_grounding(self, off: set[str], tied: bool, layers: int) -> None:
        off = dict.fromkeys(off, False)
        self.check_what_learns(self.make(x_layers=layers, tie_word_embeddings=tied, **off))
