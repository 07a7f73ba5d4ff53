"""Small exported models; tracing takes seconds, so each part of a model is traced once for all formats."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lxmert import (
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.engines import PARTS, ExportedLxmert, export, exporting
from tests.conftest import SMALL

CLASSES = {
    kind.__name__: kind
    for kind in (LxmertForQuestionAnswering, LxmertModel, LxmertForVisualReasoning, LxmertForImageAndTextRetrieval)
}
WHOLE_ONLY = ("LxmertModel", "LxmertForImageAndTextRetrieval")  # their halves are those of question answering
Exported = Callable[..., tuple[Any, ExportedLxmert, Path]]


@pytest.fixture(scope="session", autouse=True)
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder, write = tmp_path_factory.mktemp("traced"), exporting._write_onnx

    def write_once(part: Any, file: Path) -> None:
        weights = sum(tensor.double().sum().item() for tensor in part.model.state_dict().values())
        traced = folder / f"{type(part.model).__name__} {part.part} {weights}.onnx"
        if not traced.exists():
            write(part, traced)
        shutil.copy(traced, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_write_onnx", write_once)
        yield


def make_model(name: str = "LxmertForQuestionAnswering") -> Any:
    """With large weights, so that what differs is seen in the logits."""
    torch.manual_seed(0)
    sizes = SMALL | {"l_layers": 1, "r_layers": 1, "x_layers": 2, "initializer_range": 0.2}
    return CLASSES[name](LxmertConfig(**sizes)).eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Gives a model, its export and the folder, by format, model and precision; made once each."""
    made: dict[tuple[str, ...], tuple[Any, ExportedLxmert, Path]] = {}

    def make(form: Any, name: str = "LxmertForQuestionAnswering", precision: Any = "float32") -> Any:
        key = (form, name, precision)
        if key not in made:
            model, folder = make_model(name), tmp_path_factory.mktemp("exported")
            parts = ("whole",) if name in WHOLE_ONLY else PARTS
            export(model, folder, form, parts, precision, progress=False)
            made[key] = model, ExportedLxmert.from_folder(folder, threads=1), folder
        return made[key]

    return make
