import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lxmert import FasterRcnnForRegionFeatures
from lxmert.detection.original_weights import find_original_weights, read_original_weights
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


def test_other_weights_go_first(tmp_path: Path) -> None:
    assert find_original_weights(tmp_path, {}) is None
    file = tmp_path / "pytorch_model.bin"
    file.touch()
    assert find_original_weights(tmp_path, {}) == file
    assert find_original_weights(tmp_path, {"use_safetensors": True}) is None
    (tmp_path / "model.safetensors.index.json").touch()
    assert find_original_weights(tmp_path, {}) is None


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("envelope", [None, "model", "state_dict"])
def test_files_of_torch_load(tmp_path: Path, zipped: bool, envelope: str | None) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    content: Any = {f"module.{name}": value for name, value in model.state_dict().items()}
    content = {envelope: content, "epoch": 3} if envelope else content
    torch.save(content, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    loaded = FasterRcnnForRegionFeatures.from_pretrained(tmp_path, dtype="auto")
    assert loaded.name_or_path == str(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("pickled", [True, False])
def test_a_file_without_counts_of_batches_keeps_its_statistics(tmp_path: Path, pickled: bool) -> None:
    """Frozen normalisation has no such entries; what the file does have must not be made anew beside them."""
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    kept = {name: value for name, value in arrays().items() if not name.endswith("num_batches_tracked")}
    if pickled:
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"model": kept}))
    else:
        torch.save({name: torch.from_numpy(value) for name, value in kept.items()}, tmp_path / "pytorch_model.bin")
    loaded, report = FasterRcnnForRegionFeatures.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_other_anchors_are_refused(tmp_path: Path) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    weights = model.state_dict()
    weights["proposal_generator.anchor_generator.cell_anchors.0"] *= 2
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="anchors.*are not those of the configuration.*give the anchor_sizes"):
        FasterRcnnForRegionFeatures.from_pretrained(tmp_path)


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
    with pytest.raises(ValueError, match="does not load as plain tensors or arrays.*could run any code.*it names"):
        FasterRcnnForRegionFeatures.from_pretrained(tmp_path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps([1]), "must hold tensors or arrays by name, got list"),
        (pickle.dumps({}), "must hold tensors or arrays by name, got dict"),
        (pickle.dumps({"a": 3}), "'a' is int"),
        (pickle.dumps({"a": np.array(["x"])}), "'a' is ndarray"),
        (pickle.dumps({"a": np.zeros(100)})[:50], "does not load as plain tensors or arrays: it is damaged"),
        (b"", "does not load as plain tensors or arrays"),
        (b"<!doctype html>", "holds no weights, it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a pointer of Git LFS"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_original_weights(tmp_path / "weights")
