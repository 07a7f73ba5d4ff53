"""Peers in answering questions: other models of transformers, and other engines on LXMERT."""

import importlib.util

import torch
import transformers
from speed_contestants import Setting
from speed_inputs import LONGEST, Batch, model_sizes
from speed_rounds import Contestant
from torch import nn

# By name, the package that it needs besides transformers.
PEERS: dict[str, str | None] = {"vilt": None, "visual_bert": None, "onnxruntime": "onnxruntime", "openvino": "openvino"}
INSTALL = "pip install lxmert[export]"


def peers_that_answer(
    setting: Setting, batches: list[Batch], ours: nn.Module, theirs: nn.Module, goals: dict[str, float]
) -> list[Contestant]:
    """Contestants of the chosen peers.

    Args:
        setting: of the run.
        batches: questions, one batch after the other.
        ours: LXMERT with the same weights as transformers'.
        theirs: transformers' LXMERT.
        goals: by a contestant's name and precision.

    Raises:
        ModuleNotFoundError: a peer's package is not installed.
        ValueError: an engine, but the device is no CPU.
    """
    for name in setting.peers:
        package = PEERS[name]
        if package is not None and importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"Peer {name} needs the package {package}: {INSTALL}, or leave it out of --peers."
            )
        if package is not None and setting.device.type != "cpu":
            raise ValueError(
                f"Peer {name} runs on CPU here, but --device is {setting.device}: leave it out of --peers."
            )
    contestants = []
    if "vilt" in setting.peers:
        contestants.append(vilt(setting, batches))
    if "visual_bert" in setting.peers:
        contestants.append(visual_bert(setting, batches))
    if {"onnxruntime", "openvino"} & set(setting.peers):
        import speed_engines  # whose packages are there only by choice

        exported = speed_engines.export_theirs(theirs, setting, batches[0])
        if "onnxruntime" in setting.peers:
            contestants += speed_engines.onnx_runtime(exported, batches)
            contestants += speed_engines.ours_exported("onnx", ours, setting, batches, goals)
        if "openvino" in setting.peers:
            contestants += speed_engines.open_vino(exported, batches)
            contestants += speed_engines.ours_exported("openvino", ours, setting, batches, goals)
    return contestants


def installed_peers(device: torch.device) -> tuple[str, ...]:
    """Names of the peers that can run."""
    return tuple(
        name
        for name, package in PEERS.items()
        if package is None or (device.type == "cpu" and importlib.util.find_spec(package) is not None)
    )


def other_model(name: str, model: nn.Module, questions: list[dict[str, torch.Tensor]]) -> Contestant:
    """A model that computes something else; its outputs are not compared."""

    @torch.inference_mode()
    def call() -> list[torch.Tensor]:
        return [model(**question).logits for question in questions]

    return Contestant(name, "float32", call)


def vilt(setting: Setting, batches: list[Batch]) -> Contestant:
    """ViLT (Kim et al., 2021): pictures instead of regions, of 480 x 640 pixels as its processor resizes them."""
    sizes = model_sizes(setting.tiny)
    small = {"num_hidden_layers": 2, "image_size": 64} if setting.tiny else {}
    names = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size")
    config = transformers.ViltConfig(**{name: sizes[name] for name in names if name in sizes}, **small)
    config.num_labels = sizes["num_qa_labels"]
    torch.manual_seed(0)
    model = transformers.ViltForQuestionAnswering(config).to(setting.device).eval()
    height, width = (64, 96) if setting.tiny else (384, 512)
    generator = torch.Generator().manual_seed(0)
    questions = []
    for batch in batches:
        words = batch.padded_words(LONGEST)
        pictures = torch.randn(len(words["input_ids"]), 3, height, width, generator=generator)
        masks = torch.ones(len(pictures), height, width, dtype=torch.long)
        images = {"pixel_values": pictures.to(setting.device), "pixel_mask": masks.to(setting.device)}
        questions.append(words | images)
    return other_model("ViLT of transformers", model, questions)


def visual_bert(setting: Setting, batches: list[Batch]) -> Contestant:
    """VisualBERT (Li et al., 2019): words and the same regions in one sequence."""
    sizes = model_sizes(setting.tiny)
    small = {"num_hidden_layers": 2} if setting.tiny else {}
    names = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size")
    config = transformers.VisualBertConfig(
        **{name: sizes[name] for name in names if name in sizes},
        **small,
        visual_embedding_dim=sizes.get("visual_feat_dim", 2048),
        pad_token_id=0,
    )
    config.num_labels = sizes["num_qa_labels"]
    torch.manual_seed(0)
    model = transformers.VisualBertForQuestionAnswering(config).to(setting.device).eval()
    questions = []
    for batch in batches:
        question = batch.padded()
        features = question.pop("visual_feats")
        del question["visual_pos"]  # VisualBERT has no boxes
        ones = torch.ones(features.shape[:2], dtype=torch.long, device=setting.device)
        images = {"visual_embeds": features, "visual_attention_mask": ones, "visual_token_type_ids": ones}
        questions.append(question | images)
    return other_model("VisualBERT of transformers", model, questions)
