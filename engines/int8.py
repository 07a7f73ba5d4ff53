"""8-bit weights: a scale for each output of a linear layer, and for each row of an embedding."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from lxmert.engines.packages import require


def quantize_onnx(source: Path, target: Path) -> None:
    """Write an ONNX graph whose linear layers multiply 8-bit numbers (dynamic quantisation of ONNX Runtime).

    Scales of a layer's inputs come from the inputs themselves while it runs; nothing is calibrated.
    """
    quantization = require("onnxruntime.quantization")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step that is for convolutions
    try:
        quantization.quantize_dynamic(
            source, target, per_channel=True, weight_type=quantization.QuantType.QInt8, op_types_to_quantize=["MatMul"]
        )
    finally:
        root.setLevel(level)


def compress_openvino(model: Any) -> int:
    """Replace, in an `openvino.Model`, the weights of linear layers and embeddings by 8-bit numbers times scales.

    OpenVINO recognises the form and multiplies 8-bit numbers where the processor can.

    Returns:
        How many were replaced.
    """
    operations = require("openvino.opset13")
    replaced = 0
    for node in list(model.get_ops()):
        kind = node.get_type_name()
        place = {"MatMul": 1, "Gather": 0}.get(kind)
        weights = node.input_value(place).get_node() if place is not None else None
        if weights is None or weights.get_type_name() != "Constant" or not _is_matrix(weights):
            continue
        transposed = kind == "Gather" or node.get_attributes()["transpose_b"]  # (outputs, inputs)
        numbers, scales = eight_bits(weights.get_data(), axis=1 if transposed else 0)
        parts = operations.convert(operations.constant(numbers), "f32"), operations.constant(scales)
        node.input(place).replace_source_output(operations.multiply(*parts).output(0))
        replaced += 1
    return replaced


def eight_bits(weights: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers in -127..127, int8, and scales whose product is nearest to the weights.

    Args:
        weights: a matrix.
        axis: along which one scale holds; the scales have the length 1 there.
    """
    scales = np.abs(weights).max(axis=axis, keepdims=True).astype(np.float32) / 127
    scales[scales == 0] = 1  # all weights are 0
    return np.rint(weights / scales).astype(np.int8), scales


def _is_matrix(constant: Any) -> bool:
    return len(constant.get_output_shape(0)) == 2 and constant.get_element_type().is_real()
