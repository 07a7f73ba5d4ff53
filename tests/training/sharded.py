"""A program for two processes: sharded models against whole ones. Each process writes what it found as JSON."""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lxmert import LxmertConfig, LxmertForQuestionAnswering
from lxmert.modeling_lxmert import loss_counts
from lxmert.modeling_lxmert.encoders import LxmertLayer, LxmertXLayer
from lxmert.modeling_lxmert.pretraining import LxmertForPreTraining
from lxmert.training.optimizer import make_optimizer
from lxmert.training.resume import get_optimizer_state, get_weights, is_sharded, set_optimizer_state, set_weights
from lxmert.training.settings import TrainingSettings

Batch = dict[str, Any]
SIZES = {
    "vocab_size": 31,  # not divisible by the number of processes
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "visual_feat_dim": 6,
    "num_qa_labels": 5,
    "num_object_labels": 7,
    "num_attr_labels": 3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "l_layers": 2,
    "r_layers": 1,
    "x_layers": 2,
}


def answering_batch(size: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(1, 31, (size, 5), generator=generator),
        "visual_feats": torch.randn(size, 3, 6, generator=generator),
        "visual_pos": torch.rand(size, 3, 4, generator=generator),
        "labels": torch.arange(size) % 5,
    }


def pretraining_batch(size: int) -> Batch:
    batch, generator = answering_batch(size), torch.Generator().manual_seed(1)
    answers = batch["labels"]
    words = torch.where(torch.rand(size, 5, generator=generator) < 0.5, batch["input_ids"], -100)
    masked = (torch.rand(size, 3, generator=generator) < 0.5).float()
    regions = {
        name: (torch.randint(0, count, (size, 3), generator=generator), torch.ones(size, 3))
        for name, count in (("obj", 7), ("attr", 3))
    }
    regions["feat"] = (torch.randn(size, 3, 6, generator=generator), masked)
    return batch | {"labels": words, "obj_labels": regions, "matched_label": answers % 2, "ans": answers}


def half(value: Any, rank: int) -> Any:
    """This process's examples, in tensors and nested in dictionaries and tuples."""
    if isinstance(value, dict):
        return {name: half(part, rank) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(half(part, rank) for part in value)
    return value.chunk(2)[rank]


def by_hand(model: nn.Module) -> None:
    """Encoder layers on their own; embeddings and heads, tied as they may be, in the root."""
    for module in model.modules():
        if isinstance(module, (LxmertLayer, LxmertXLayer)):
            fully_shard(module)
    fully_shard(model)


def by_accelerate(model: nn.Module) -> None:
    """As Accelerate does it on GPUs for the settings of examples/recipes/fsdp2.yaml."""
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LxmertLayer", "LxmertXLayer"],
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
    )
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="no",
        device=torch.device("cpu"),
        is_main_process=True,
    )
    fsdp2_prepare_model(accelerator, model)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> torch.Tensor:
    loss = model(**batch).loss
    loss.backward()
    return loss.detach()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def largest_difference(sharded: dict[str, Any], plain: dict[str, Any]) -> float:
    assert sharded.keys() == plain.keys()
    return max((whole(sharded[name]).detach() - plain[name].detach()).abs().max().item() for name in plain)


def gradients(model: nn.Module) -> dict[str, Any]:
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def compare(model: Any, batch: Batch, shard: Callable[[nn.Module], None], corrected: bool) -> dict[str, Any]:
    """Loss, gradients and weights of a sharded model and a whole one over two steps, with a saved state between."""
    rank = torch.distributed.get_rank()
    for name in model.parameters_without_gradient():
        model.get_parameter(name).requires_grad_(False)
    plain, again = copy.deepcopy(model), copy.deepcopy(model)
    mine = half(batch, rank)
    if "matched_label" in batch:  # as the loop hands them on: each process gets the mean over both
        counts = {name: count / 2 for name, count in loss_counts(batch).items()}
        mine, batch = mine | {"loss_counts": counts}, dict(batch)
    shard(model)
    shard(again)
    settings = TrainingSettings(sys.argv[1], learning_rate=1e-2, bias_correction=corrected)
    optimizers = {
        one: make_optimizer([value for value in one.parameters() if value.requires_grad], settings)
        for one in (model, plain, again)
    }
    found: dict[str, Any] = {
        "sharded": all(isinstance(value, DTensor) for value in model.parameters()) and is_sharded(model),
        "plain": not is_sharded(plain),
        "units": sum(hasattr(module, "unshard") for module in model.modules()),
    }
    for number in (1, 2):
        loss = step(model, optimizers[model], mine)
        torch.distributed.all_reduce(loss)
        expected = step(plain, optimizers[plain], batch)
        found[f"loss {number}"] = (loss / 2 - expected).abs().item()
        found[f"gradients {number}"] = largest_difference(gradients(model), gradients(plain))
        found[f"size of gradients {number}"] = max(value.abs().max().item() for value in gradients(plain).values())
        for one in (model, plain):
            optimizers[one].step()
            optimizers[one].zero_grad()
        found[f"weights {number}"] = largest_difference(dict(model.named_parameters()), dict(plain.named_parameters()))
        if number == 1:
            weights, averages = through_file(
                get_weights(model, True), get_optimizer_state(model, optimizers[model], True)
            )
            found["saved"] = largest_difference(weights, plain.state_dict())
    # a copy makes the second step from the state after the first
    set_weights(again, weights, True)
    set_optimizer_state(again, optimizers[again], averages, True)
    step(again, optimizers[again], mine)
    optimizers[again].step()
    pairs = zip(again.parameters(), model.parameters(), strict=True)
    found["resumed"] = all(torch.equal(whole(one), whole(other)) for one, other in pairs)
    return found


def through_file(*state: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Written by the main process, which alone has it, and read by all."""
    file = Path(sys.argv[1], "state.pt")
    if torch.distributed.get_rank() == 0:
        torch.save(state, file)
    torch.distributed.barrier()
    return torch.load(file, weights_only=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    found = {}
    for name, kind, batch in (
        ("answering", LxmertForQuestionAnswering, answering_batch(4)),
        ("pretraining", LxmertForPreTraining, pretraining_batch(4)),
    ):
        for shard in (by_hand, by_accelerate):
            torch.manual_seed(0)
            model = kind(LxmertConfig(**SIZES))
            found[f"{name} {shard.__name__}"] = compare(model, batch, shard, corrected=name == "answering")
    Path(sys.argv[1], f"{torch.distributed.get_rank()}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
