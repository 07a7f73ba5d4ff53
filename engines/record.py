"""What an exported folder holds, as a small file beside the graphs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from lxmert.engines.graphs import OUTPUTS, PARTS, Part

Format = Literal["onnx", "openvino"]
Precision = Literal["float32", "float16", "int8"]
FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "float16", "int8"),
}
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
FILE = "export.json"


@dataclass(frozen=True)
class ExportRecord:
    """What was exported, and with what.

    Args:
        format: "onnx" or "openvino".
        model: name of the model's class.
        parts: "whole", "regions", "rest", at least one.
        precision: how the weights are stored. "float16" is OpenVINO's only: ONNX Runtime has few operations in it on a
            CPU. "int8": see `export`.
        opset: version of the ONNX operations.
        versions: of the packages that took part.

    Raises:
        ValueError: a format, model, part or precision that there is not.
    """

    format: Format
    model: str
    parts: tuple[Part, ...]
    precision: Precision
    opset: int
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {self.format!r}.")
        if self.model not in OUTPUTS:
            raise ValueError(f"model must be one of {', '.join(OUTPUTS)}, got {self.model}.")
        parts = self.parts
        if isinstance(parts, str) or not parts or len(set(parts)) < len(parts) or not set(parts) <= set(PARTS):
            raise ValueError(f"parts must be some of {PARTS}, each once, as a tuple; got {parts!r}.")
        if self.precision not in PRECISIONS[self.format]:
            possible = ", ".join(PRECISIONS[self.format])
            raise ValueError(f"precision of format {self.format!r} must be one of {possible}, got {self.precision!r}.")

    def file(self, folder: Path, part: Part) -> Path:
        """Where the graph of a part lies."""
        return folder / f"{part}{SUFFIXES[self.format]}"

    def save(self, folder: Path) -> None:
        """Write export.json."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "ExportRecord":
        """Read export.json.

        Raises:
            FileNotFoundError: the folder has none, or not all graphs that it lists.
            ValueError: a file that `save` did not write.
        """
        file = folder / FILE
        if not file.is_file():
            raise FileNotFoundError(f"{folder} has no {FILE}: it is no folder that lxmert.engines.export has written.")
        try:
            fields = json.loads(file.read_text())
            record = cls(**fields | {"parts": tuple(fields["parts"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file} is not what lxmert.engines.export writes: {error}") from error
        missing = [str(record.file(folder, part)) for part in record.parts if not record.file(folder, part).is_file()]
        if missing:
            raise FileNotFoundError(f"{file} lists graphs that are not there: {', '.join(missing)}. Export again.")
        return record
