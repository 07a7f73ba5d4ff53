"""From a model to a folder that ONNX Runtime or OpenVINO runs."""

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm.auto import tqdm

from lxmert.engines.graphs import INPUTS, Part, PartOfModel
from lxmert.engines.int8 import compress_openvino, quantize_onnx
from lxmert.engines.packages import openvino_core, require, versions
from lxmert.engines.record import FILE, ExportRecord, Format, Precision
from lxmert.modeling_lxmert import LxmertPreTrainedModel
from lxmert.processing import LxmertProcessor

OPSET = 20  # the first with GELU as one operation
PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


def export(
    model: LxmertPreTrainedModel,
    folder: str | Path,
    format: Format = "onnx",  # noqa: A002, the word that users of exporters know
    parts: Sequence[Part] = ("whole",),
    precision: Precision = "float32",
    processor: LxmertProcessor | None = None,
    progress: bool = True,
) -> ExportRecord:
    """Write a model as graphs with dynamic batch, tokens and regions; `ExportedLxmert.from_folder` runs them.

    OpenVINO reads the ONNX graph, so that both engines get the same operations. Attention is written step by step, the
    form in which both engines know it again. The model itself is left as it is.

    Args:
        model: `LxmertModel`, or one with a head: question answering, visual reasoning, image and text retrieval.
        folder: gets the graphs, config.json, export.json and the processor's files; what has these names is replaced.
        format: "onnx" or "openvino".
        parts: ("whole",) for one graph; ("regions", "rest") for two, where one image serves many questions: its regions
            are encoded once. All three may stand side by side.
        precision: of the weights in the files. "float32"; "float16" (OpenVINO only), half the size, computed in what
            `from_folder` is asked for; "int8", a quarter: each linear layer's weights are 8-bit numbers with a scale
            for each output, and its inputs are brought to 8 bits while it runs. What that loses depends on the model:
            judge it on real questions (`benchmarks/exported_accuracy.py`). ONNX Runtime has one scale for the inputs
            of a layer, so that an answer depends a little on what else is in the batch.
        processor: saved beside the graphs, so that the folder is all one needs.
        progress: show a bar over the parts.

    Raises:
        ImportError: a package of the extra `export` is missing.
        ValueError: a model, format, part or precision that there is not.
    """
    packages = PACKAGES.get(format, ())
    for package in packages:
        require(package)
    used = versions("torch", "transformers", *packages)
    record = ExportRecord(format, type(model).__name__, tuple(parts), precision, OPSET, used)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).unlink(missing_ok=True)  # comes back when everything else is there

    model = copy.deepcopy(model).to("cpu", torch.float32).eval()
    model.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory() as work:
        for part in tqdm(record.parts, desc="Exporting", unit=" parts", disable=not progress):
            graph = Path(work) / f"{part}.onnx"
            _write_onnx(PartOfModel(model, part), graph)
            _convert(graph, record.file(folder, part), record)
    model.config.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    record.save(folder)
    return record


def _write_onnx(part: PartOfModel, file: Path) -> None:
    passes = require("onnx_ir.passes.common")
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            part,
            kwargs={"inputs": part.example()},
            dynamic_shapes={"inputs": part.dynamic_shapes()},
            input_names=INPUTS[part.part],
            output_names=part.outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for name, axes in part.dynamic_shapes().items():
        shape = next(value.shape for value in program.model.graph.inputs if value.name == name)
        assert shape is not None
        if fixed := [axis for axis in axes if isinstance(shape[axis], int)]:
            raise RuntimeError(f"This version of torch made dimensions {fixed} of {name}, {shape}, fixed ones.")
    passes.ClearMetadataAndDocStringPass()(program.model)  # the exporter notes lines and files of this machine
    program.save(file)


def _convert(graph: Path, file: Path, record: ExportRecord) -> None:
    """From an ONNX file in float32 to the format and precision of the record."""
    if record.format == "onnx":
        if record.precision == "int8":
            quantize_onnx(graph, file)
        else:
            onnx = require("onnx")
            onnx.save(onnx.load(graph), file)
        return
    openvino = require("openvino")
    model = openvino_core().read_model(graph)
    if record.precision == "int8":
        compress_openvino(model)
    openvino.save_model(model, file, compress_to_fp16=record.precision == "float16")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages that are not needed and about its own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
