"""Other engines on LXMERT: ONNX Runtime and OpenVINO, on an export of transformers' model and on that of ours."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from speed_contestants import THEIRS, Inputs, Setting, inference
from speed_inputs import LONGEST, REGIONS, Batch
from speed_rounds import Contestant, Precision
from torch import nn

from lxmert.engines import ExportedLxmert
from lxmert.engines import export as export_ours
from lxmert.engines.packages import openvino_core

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "visual_feats", "visual_pos")


class AnswerLogits(nn.Module):
    """transformers' LXMERT with the inputs of `INPUTS` in this order, and logits as the only output."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(B, answers)."""
        return self.model(**dict(zip(INPUTS, inputs, strict=True))).question_answering_score


def export_theirs(theirs: nn.Module, setting: Setting, batch: Batch) -> Path:
    """Write transformers' LXMERT as ONNX: 20 words, 36 regions, as many questions as one wants; once in a run."""
    path: Path = setting.folder / "transformers_lxmert.onnx"
    if not path.exists():
        example = {name: torch.cat([value] * 2) for name, value in batch.padded().items()}  # a batch of 1 would stay 1
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                AnswerLogits(theirs),
                tuple(example[name] for name in INPUTS),
                path,
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes={"inputs": ({0: torch.export.Dim("questions")},) * len(INPUTS)},
                dynamo=True,
            )
    return path


def engine(
    name: str, precision: Precision, answer: Callable[[Inputs], torch.Tensor], batches: list[Batch]
) -> Contestant:
    """A contestant of an engine that runs transformers' LXMERT."""
    questions = [{key: value.numpy() for key, value in batch.padded().items()} for batch in batches]
    return inference(name, precision, answer, questions, operations_of=f"{THEIRS}, float32")


def onnx_runtime(exported: Path, batches: list[Batch]) -> list[Contestant]:
    """ONNX Runtime on CPU, with as many threads as PyTorch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    wanted = {item.name for item in session.get_inputs()}

    def answer(question: dict[str, np.ndarray]) -> torch.Tensor:
        given = {name: value for name, value in question.items() if name in wanted}
        return torch.from_numpy(session.run(["logits"], given)[0])

    return [engine("ONNX Runtime on transformers' LXMERT", "float32", answer, batches)]


def open_vino(exported: Path, batches: list[Batch]) -> list[Contestant]:
    """OpenVINO on CPU in both precisions, with as many threads as PyTorch, compiled for this size of batch."""
    core = openvino_core()
    model = core.read_model(exported)
    questions = len(batches[0].image_indices)
    width = batches[0].images["visual_feats"].shape[-1]
    shapes = {name: [questions, LONGEST] for name in INPUTS[:3]} | {
        "visual_feats": [questions, REGIONS, width],
        "visual_pos": [questions, REGIONS, 4],
    }
    model.reshape({item.any_name: shapes[item.any_name] for item in model.inputs})
    contestants = []
    precisions: dict[str, Precision] = {"f32": "float32", "bf16": "bfloat16"}
    for hint, precision in precisions.items():
        choices = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        choices["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
        compiled = core.compile_model(model, "CPU", choices)
        names = [item.any_name for item in compiled.inputs]

        def answer(question: dict[str, np.ndarray], compiled: Any = compiled, names: list[str] = names) -> torch.Tensor:
            return torch.from_numpy(compiled([question[name] for name in names])[0])

        contestants.append(engine("OpenVINO on transformers' LXMERT", precision, answer, batches))
    return contestants


def ours_exported(
    format: Literal["onnx", "openvino"],  # noqa: A002, the word that `lxmert.engines` has for it
    model: Any,
    setting: Setting,
    batches: list[Batch],
    goals: dict[str, float],
) -> list[Contestant]:
    """Our export in the format of an engine, as words come and with regions that are encoded already."""
    folder = setting.folder / f"ours_{format}"
    if not folder.exists():  # one work exports, the next one loads
        export_ours(model, folder, format, ("whole", "regions", "rest"), progress=False)
    engine = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}[format]
    precisions: list[Precision] = ["float32", "bfloat16"] if format == "openvino" else ["float32"]
    contestants = []
    for precision in precisions:
        exported = ExportedLxmert.from_folder(folder, torch.get_num_threads(), precision)
        questions = [batch.padded(batch.longest) for batch in batches]
        cached = []
        for batch in batches:
            encoded = exported.encode_regions(**batch.images)[batch.image_indices]
            cached.append(batch.words | {"encoded_regions": encoded})

        def answer(question: Inputs, exported: ExportedLxmert = exported) -> torch.Tensor:
            return exported(**question).question_answering_score

        for name, given in ((f"ours in {engine}", questions), (f"ours in {engine}, regions cached", cached)):
            contestants.append(inference(name, precision, answer, given, goals.get(f"{name}, {precision}")))
    return contestants
