import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lxmert import FasterRcnnForRegionFeatures
from lxmert.detection.original_weights import find_pickled_arrays, read_pickled_arrays
from tests.detection.small_detector import small_detector


def arrays() -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in small_detector().state_dict().items()}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("nested", [True, False])
def test_a_pickle_of_arrays_loads_as_a_model(tmp_path: Path, protocol: int, nested: bool) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    content: Any = OrderedDict(arrays())
    content = {"model": content, "__author__": "Caffe2"} if nested else content
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=protocol))
    loaded, report = FasterRcnnForRegionFeatures.from_pretrained(
        tmp_path, max_boxes=20, dtype=torch.float32, output_loading_info=True
    )
    assert loaded.config.max_boxes == 20
    assert not report["missing_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_only_plain_pickles_are_taken(tmp_path: Path) -> None:
    assert find_pickled_arrays(tmp_path, {}) is None
    file = tmp_path / "pytorch_model.bin"
    for zipped in (True, False):
        torch.save({"a": torch.zeros(1)}, file, _use_new_zipfile_serialization=zipped)
        assert find_pickled_arrays(tmp_path, {}) is None
    file.write_bytes(pickle.dumps({"a": np.zeros(1)}))
    assert find_pickled_arrays(tmp_path, {}) == file
    (tmp_path / "model.safetensors").touch()
    assert find_pickled_arrays(tmp_path, {}) is None


def test_old_files_of_torch_load(tmp_path: Path) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    loaded = FasterRcnnForRegionFeatures.from_pretrained(tmp_path)
    assert torch.equal(loaded.backbone.stem.conv1.weight, model.backbone.stem.conv1.weight)


class Harm:
    """Would make a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def test_no_code_is_run(tmp_path: Path) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    touched = tmp_path / "touched"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"model": {**arrays(), "harm": Harm(touched)}}))
    with pytest.raises(ValueError, match="does not load as plain arrays.*could run any code.*it names"):
        FasterRcnnForRegionFeatures.from_pretrained(tmp_path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps([1]), "must hold arrays by name, got list"),
        (pickle.dumps({}), "must hold arrays by name, got dict"),
        (pickle.dumps({"a": 3}), "'a' is int"),
        (pickle.dumps({"a": np.array(["x"])}), "'a' is ndarray"),
        (pickle.dumps({"a": np.zeros(100)})[:50], "does not load as plain arrays: it is damaged"),
        (b"", "does not load as plain arrays"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_pickled_arrays(tmp_path / "weights")
