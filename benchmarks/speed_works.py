"""The works that are timed on LXMERT: pre-training, fine-tuning, answering, retrieval."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from speed_contestants import (
    THEIRS,
    Setting,
    answer_with,
    both_models,
    in_bfloat16,
    inference,
    their_model,
    training,
    with_cached_regions,
    with_features_of,
    with_onednn,
)
from speed_inputs import LONGEST, Batch, answer_labels, model_sizes, pretraining_labels
from speed_peers import peers_that_answer
from speed_rounds import Contestant, Outputs, Precision, Work

from lxmert import LxmertConfig, LxmertForImageAndTextRetrieval
from lxmert.training import TrainingSettings
from lxmert.training.optimizer import make_optimizer

QUESTIONS_ONE_BY_ONE = 8


def pretraining(setting: Setting) -> Work:
    """A step on all five tasks, of 16 pairs: 4 images with 4 sentences each, which the peers read as 16 images."""
    ours, theirs = both_models("LxmertForPreTraining", setting, answers=9500)
    batch = setting.batch(16, images=4)
    labels = pretraining_labels(ours.config, batch)
    repeated = batch.padded() | labels.padded()
    own = batch.padded(batch.longest) | labels.padded(batch.longest) | {"return_logits": False}
    shared = batch.shared() | labels.shared(batch.longest) | {"return_logits": False}
    default = torch.optim.AdamW(theirs.parameters(), lr=1e-5)
    fused = make_optimizer(ours.parameters(), TrainingSettings(setting.folder, learning_rate=1e-5))
    contestants = [
        training(THEIRS, "float32", theirs, repeated, default),
        training(THEIRS, "bfloat16", theirs, repeated, default),
        training("ours", "float32", ours, own, fused, goal=1.45),
        training("ours", "bfloat16", ours, own, fused, goal=2.7),
        training("ours, 4 sentences per image", "float32", ours, shared, fused, goal=1.8),
        training("ours, 4 sentences per image", "bfloat16", ours, shared, fused, goal=3.3),
    ]
    if setting.device.type == "cpu":
        fast = with_onednn(ours)
        contestants += [
            _counted_as("ours", training("ours, oneDNN", "float32", fast, own, fused, goal=1.45)),
            _counted_as(
                "ours, 4 sentences per image",
                training("ours, oneDNN, 4 sentences per image", "float32", fast, shared, fused, goal=1.8),
            ),
        ]
    return Work("pretraining", "pre-training step: forward, backward, optimiser; 16 pairs", 16, contestants)


def finetuning(setting: Setting) -> Work:
    """Forward and backward on 32 questions of VQA, 4 about each image, which the peers read as 32 images."""
    ours, theirs = both_models("LxmertForQuestionAnswering", setting)
    batch = setting.batch(32, images=8)
    labels = {"labels": answer_labels(model_sizes(setting.tiny)["num_qa_labels"], 32).to(setting.device)}
    repeated, own = batch.padded() | labels, batch.padded(batch.longest) | labels
    shared = batch.shared() | labels
    contestants = [
        training(THEIRS, "float32", theirs, repeated),
        training(THEIRS, "bfloat16", theirs, repeated),
        training("ours", "float32", ours, own, goal=1.5),
        training("ours", "bfloat16", ours, own, goal=2.8),
        training("ours, 4 questions per image", "float32", ours, shared),
        training("ours, 4 questions per image", "bfloat16", ours, shared, goal=3.6),
    ]
    if setting.device.type == "cpu":
        fast = with_onednn(ours)
        contestants += [
            _counted_as("ours", training("ours, oneDNN", "float32", fast, own, goal=1.5)),
            _counted_as(
                "ours, 4 questions per image", training("ours, oneDNN, 4 questions per image", "float32", fast, shared)
            ),
        ]
    return Work("finetuning", "VQA fine-tuning: forward, backward; 32 questions", 32, contestants)


def _counted_as(name: str, contestant: Contestant) -> Contestant:
    """The contestant with the operations of another in float32: PyTorch does not count oneDNN's."""
    return contestant if "oneDNN" not in contestant.name else replace(contestant, operations_of=f"{name}, float32")


def answering(setting: Setting, batches: list[Batch], goals: dict[str, float]) -> list[Contestant]:
    """Contestants of VQA inference; goals by the name of ours and its precision."""
    ours, theirs = both_models("LxmertForQuestionAnswering", setting)
    models: dict[Precision, tuple[Any, Any]] = {
        "float32": (ours, theirs),
        "bfloat16": (in_bfloat16(ours), in_bfloat16(theirs)),
    }
    contestants = []
    for precision, (_, model) in models.items():
        questions = [with_features_of(model, batch.padded()) for batch in batches]
        contestants.append(inference(THEIRS, precision, answer_with(model), questions))
    own: list[tuple[str, Precision, Any]] = [("ours", precision, model) for precision, (model, _) in models.items()]
    if setting.device.type == "cpu":
        own.append(("ours, oneDNN", "float32", with_onednn(ours)))
    for name, precision, model in own:
        questions = [with_features_of(model, batch.padded(batch.longest)) for batch in batches]
        goal = goals.get(f"ours, {precision}")
        contestants.append(_counted_as("ours", inference(name, precision, answer_with(model), questions, goal)))
        with torch.inference_mode():
            cached = [with_cached_regions(model, question) for question in questions]
        goal = goals.get(f"ours, regions cached, {precision}")
        contestant = inference(f"{name}, regions cached", precision, answer_with(model), cached, goal)
        contestants.append(_counted_as("ours, regions cached", contestant))
    return contestants + peers_that_answer(setting, batches, ours, theirs, goals)


def inference_32(setting: Setting) -> Work:
    """A batch of 32 questions, each about its own image."""
    goals = {"ours, float32": 1.4, "ours, bfloat16": 2.6, "ours, regions cached, bfloat16": 4.0}
    contestants = answering(setting, [setting.batch(32)], goals)
    return Work("inference_32", "VQA inference; 32 questions at once", 32, contestants)


def inference_1(setting: Setting) -> Work:
    """Eight questions one after the other."""
    goals = {
        "ours, float32": 1.6,
        "ours, regions cached, bfloat16": 6.0,
        "ours in OpenVINO, regions cached, bfloat16": 6.0,
    }
    lengths = setting.batch(QUESTIONS_ONE_BY_ONE).words["attention_mask"].sum(1).cpu()
    batches = [setting.batch(1, lengths=length[None], seed=number) for number, length in enumerate(lengths)]
    contestants = answering(setting, batches, goals)
    return Work("inference_1", "VQA inference; 1 question at a time", QUESTIONS_ONE_BY_ONE, contestants)


def retrieval(setting: Setting) -> Work:
    """Scores of all captions with all images: `score_all_pairs` against transformers' model on every pair.

    transformers has no model for it; a user would take the matching head of its pre-training without the others.
    """
    theirs = their_model("LxmertForPreTraining", setting)
    ours = LxmertForImageAndTextRetrieval(LxmertConfig(**model_sizes(setting.tiny))).to(setting.device).eval()
    report = ours.load_state_dict(theirs.state_dict(), strict=False)
    if report.missing_keys:
        raise ValueError(
            f"transformers' checkpoint must hold all weights of the retrieval, lacks {report.missing_keys}."
        )
    count = setting.items
    batch = setting.batch(count)
    contestants = []
    models: dict[Precision, Any] = {"float32": theirs, "bfloat16": in_bfloat16(theirs)}
    for precision, model in models.items():
        contestants.append(Contestant(THEIRS, precision, *_pair_by_pair(model, batch, count)))
    own: list[tuple[str, Precision, Any]] = [("ours", "float32", ours), ("ours", "bfloat16", in_bfloat16(ours))]
    if setting.device.type == "cpu":
        own.append(("ours, oneDNN", "float32", with_onednn(ours)))
    for name, precision, model in own:
        goal = {"float32": 3.0, "bfloat16": 6.0}[precision]
        contestants.append(_counted_as("ours", Contestant(name, precision, *_all_pairs(model, batch), goal)))
    title = f"retrieval: {count} images x {count} captions"
    return Work("retrieval", title, count**2, contestants, warm_up=False)


def _pair_by_pair(model: Any, batch: Batch, count: int) -> tuple[Callable[[], torch.Tensor], Callable[[], Outputs]]:
    words, images = batch.padded_words(LONGEST), with_features_of(model, batch.images)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        scores = []
        for pairs in torch.arange(count**2, device=batch.image_indices.device).split(32):
            inputs = {name: value[pairs // count] for name, value in words.items()}
            inputs |= {name: value[pairs % count] for name, value in images.items()}
            scores.append(model.cls.seq_relationship(model.lxmert(**inputs).pooled_output))
        return torch.cat(scores)

    return call, lambda: Outputs(call().float().cpu())


def _all_pairs(model: Any, batch: Batch) -> tuple[Callable[[], torch.Tensor], Callable[[], Outputs]]:
    images = with_features_of(model, batch.images)

    def call() -> torch.Tensor:
        return model.score_all_pairs(batch.words, images, progress=False)

    return call, lambda: Outputs(call().float().cpu().flatten(0, 1))


WORKS: dict[str, Callable[[Setting], Work]] = {
    "pretraining": pretraining,
    "finetuning": finetuning,
    "inference_32": inference_32,
    "inference_1": inference_1,
    "retrieval": retrieval,
}
