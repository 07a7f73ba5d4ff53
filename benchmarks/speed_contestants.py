"""Contestants on LXMERT, ours or transformers': models with the same weights, and how they train and answer."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from speed_inputs import ANSWERS, Batch, make_batch, model_sizes
from speed_rounds import Contestant, Outputs, Precision
from transformers.models.lxmert import modeling_lxmert as transformers_lxmert

import lxmert
from lxmert import LxmertConfig
from lxmert.modeling_lxmert import LxmertPreTrainedModel, use_onednn

Inputs = dict[str, Any]
THEIRS = "transformers"


@dataclass(frozen=True)
class Setting:
    """What holds for all works of a run.

    Args:
        tiny: a model of a few layers instead of the paper's size.
        device: where PyTorch's contestants run.
        folder: for exported models, gone after the run.
        items: images of the retrieval, and captions.
        peers: names of `speed_peers.PEERS` that take part.
    """

    tiny: bool
    device: torch.device
    folder: Path
    items: int = 50
    peers: tuple[str, ...] = ()

    def batch(self, questions: int, images: int | None = None, **choices: Any) -> Batch:
        """Random questions about random images, on the device."""
        return make_batch(model_sizes(self.tiny), questions, images, **choices).to(self.device)


def their_model(kind: str, setting: Setting, answers: int = ANSWERS) -> transformers.PreTrainedModel:
    """transformers' LXMERT with random weights, always the same, for evaluation."""
    torch.manual_seed(0)
    config = transformers.LxmertConfig(**model_sizes(setting.tiny, answers), attn_implementation="eager")
    return getattr(transformers_lxmert, kind)(config).to(setting.device).eval()


def both_models(
    kind: str, setting: Setting, answers: int = ANSWERS
) -> tuple[LxmertPreTrainedModel, transformers.PreTrainedModel]:
    """Ours and transformers' LXMERT of one class with the same weights."""
    theirs = their_model(kind, setting, answers)
    ours = getattr(lxmert, kind)(LxmertConfig(**model_sizes(setting.tiny, answers))).to(setting.device).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def in_bfloat16(model: Any) -> Any:
    """A copy with weights in bfloat16."""
    return copy.deepcopy(model).to(torch.bfloat16)


def with_onednn(model: Any) -> Any:
    """The same weights behind linear layers that compute by oneDNN."""
    return use_onednn(copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()}))


def with_features_of(model: Any, inputs: Inputs) -> Inputs:
    """Inputs with floating-point numbers in the model's precision."""
    return {
        name: value.to(model.dtype) if value is not None and value.is_floating_point() else value
        for name, value in inputs.items()
    }


def training(
    name: str,
    precision: Precision,
    model: Any,
    inputs: Inputs,
    optimizer: torch.optim.Optimizer | None = None,
    goal: float | None = None,
) -> Contestant:
    """Forward and backward with dropout, then the optimiser if there is one.

    bfloat16 is that of Accelerate's mixed precision: autocast, weights stay float32.
    """
    device = next(model.parameters()).device.type

    def forward() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            return model(**inputs)

    def call() -> None:
        model.train()
        forward().loss.backward()
        if optimizer is not None:
            optimizer.step()
        model.zero_grad(set_to_none=True)

    def outputs() -> Outputs:
        model.eval()
        output = forward()
        output.loss.backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        model.zero_grad(set_to_none=True)
        return Outputs(output.question_answering_score.detach().float(), output.loss.item(), gradients)

    return Contestant(name, precision, call, outputs, goal)


def inference(
    name: str,
    precision: Precision,
    answer: Callable[[Inputs], torch.Tensor],
    questions: list[Inputs],
    goal: float | None = None,
    operations_of: str | None = None,
) -> Contestant:
    """Logits of one batch of questions after the other."""

    @torch.inference_mode()
    def call() -> list[torch.Tensor]:
        return [answer(question) for question in questions]

    def outputs() -> Outputs:
        return Outputs(torch.cat([logits.float().cpu() for logits in call()]))

    return Contestant(name, precision, call, outputs, goal, operations_of)


def answer_with(model: Any) -> Callable[[Inputs], torch.Tensor]:
    """Logits of a question, (B, answers)."""
    return lambda question: model(**question).question_answering_score


def with_cached_regions(model: Any, question: Inputs) -> Inputs:
    """A question whose regions are encoded already."""
    images = {name: question[name] for name in ("visual_feats", "visual_pos")}
    words = {name: value for name, value in question.items() if name not in images}
    return words | {"encoded_regions": model.lxmert.encode_regions(**images)}
