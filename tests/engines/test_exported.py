"""`ExportedLxmert`: what it takes, what it refuses, and that it needs no package before it is used."""

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lxmert.engines import FORMATS, ExportedLxmert, ExportRecord, export
from lxmert.engines.int8 import eight_bits
from lxmert.engines.packages import openvino_core
from tests.conftest import ROOT, make_batch, make_masks
from tests.engines.conftest import Exported, make_model


@pytest.mark.parametrize("form", FORMATS)
def test_arrays_of_any_width_are_taken(exported: Exported, form: str) -> None:
    _, engine, _ = exported(form)
    inputs = make_batch() | make_masks()
    expected = engine(**inputs).logits
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in inputs.items()}
    arrays["input_ids"] = arrays["input_ids"].astype(np.int32)
    arrays["visual_pos"] = arrays["visual_pos"].astype(np.float64)
    arrays["attention_mask"] = arrays["attention_mask"].astype(bool)
    arrays["visual_attention_mask"] = 0.5 * arrays["visual_attention_mask"]  # anything but 0 is seen
    arrays["visual_feats"].flags.writeable = False
    torch.testing.assert_close(engine(**arrays).logits, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", FORMATS)
def test_outputs_outlive_later_calls_and_threads_do_not_mix(exported: Exported, form: str) -> None:
    _, engine, _ = exported(form)
    batches = [make_batch(seed=seed, words=4 + seed) for seed in range(6)]
    first = engine(**batches[0]).logits
    kept = first.clone()
    expected = [engine(**batch).logits.clone() for batch in batches]
    assert torch.equal(first, kept)
    assert not torch.allclose(expected[0], expected[1])

    found: dict[int, torch.Tensor] = {}

    def ask(number: int) -> None:
        for _ in range(20):
            found[number] = engine(**batches[number]).logits

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, logits in enumerate(expected):
        torch.testing.assert_close(found[number], logits, atol=1e-6, rtol=0)


def test_bfloat16_is_asked_for(exported: Exported) -> None:
    _, exact, folder = exported("openvino")
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ValueError, match="bfloat16 instructions"):
            ExportedLxmert.from_folder(folder, compute="bfloat16")
        return
    inputs = make_batch() | make_masks()
    rough = ExportedLxmert.from_folder(folder, compute="bfloat16")(**inputs).logits
    difference = (rough - exact(**inputs).logits).abs().max().item()
    assert 1e-4 < difference < 0.1


def test_inputs_are_refused_as_the_model_refuses_them(exported: Exported) -> None:
    _, engine, _ = exported("onnx")
    inputs = make_batch()
    encoded = engine.encode_regions(inputs["visual_feats"], inputs["visual_pos"])
    words = inputs["input_ids"]
    with pytest.raises(TypeError, match=r"attention_masks.*did you mean.*attention_mask"):
        engine(**inputs, attention_masks=words)
    with pytest.raises(TypeError, match="labels"):
        engine(**inputs, labels=torch.zeros(3))
    with pytest.raises(TypeError, match=r"visual_feats must be a tensor or a NumPy array, got list"):
        engine(**inputs | {"visual_feats": [[0.0]]})
    with pytest.raises(ValueError, match="`input_ids` is missing"):
        engine(visual_feats=inputs["visual_feats"], visual_pos=inputs["visual_pos"])
    with pytest.raises(ValueError, match="`visual_pos` is missing"):
        engine(words, inputs["visual_feats"])
    with pytest.raises(ValueError, match="either encoded_regions or visual_feats"):
        engine(**inputs, encoded_regions=encoded)
    with pytest.raises(ValueError, match=r"visual_feats must have the shape \(batch, regions, 12\)"):
        engine(**inputs | {"visual_feats": torch.zeros(3, 5, 11)})
    with pytest.raises(ValueError, match=r"encoded_regions must have the shape \(batch, length, 32\)"):
        engine(words, encoded_regions=torch.zeros(3, 5, 8))
    with pytest.raises(ValueError, match="17 tokens but the model has 16 positions"):
        engine(**inputs | {"input_ids": torch.ones(3, 17, dtype=torch.long)})
    with pytest.raises(ValueError, match="boxes divided by"):
        engine(**inputs | {"visual_pos": 100 * inputs["visual_pos"]})
    with pytest.raises(ValueError, match="attention_mask hides everything of item 0"):
        engine(**inputs, attention_mask=torch.zeros(3, 9))
    with pytest.raises(ValueError, match="batch of 3 but the regions one of 2"):
        engine(words, encoded_regions=encoded[:2])


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    inputs = make_batch()
    export(make_model(), tmp_path, progress=False)
    engine = ExportedLxmert.from_folder(tmp_path)
    with pytest.raises(ValueError, match="holds whole, and the call needs the part 'regions'"):
        engine.encode_regions(inputs["visual_feats"], inputs["visual_pos"])
    with pytest.raises(ValueError, match="holds whole, and the call needs the part 'rest'"):
        engine(inputs["input_ids"], encoded_regions=torch.zeros(3, 5, 32))


def test_folders_that_are_none(exported: Exported, tmp_path: Path) -> None:
    _, _, folder = exported("onnx")
    with pytest.raises(FileNotFoundError, match=r"has no export\.json"):
        ExportedLxmert.from_folder(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "rest.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"lists graphs that are not there: .*rest\.onnx"):
        ExportedLxmert.from_folder(copy)
    for text in ("{", "[]", "{}", json.dumps({"parts": ["whole"], "format": "onnx", "size": 1})):
        (copy / "export.json").write_text(text)
        with pytest.raises(ValueError, match=r"export\.json is not what lxmert\.engines\.export writes"):
            ExportRecord.load(copy)


def test_settings_that_are_none(exported: Exported) -> None:
    _, _, folder = exported("onnx")
    for threads in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="threads must be a whole number of at least 1"):
            ExportedLxmert.from_folder(folder, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="compute must be one of float32, bfloat16"):
        ExportedLxmert.from_folder(folder, compute="int8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ONNX Runtime computes in float32"):
        ExportedLxmert.from_folder(folder, compute="bfloat16")


@pytest.mark.parametrize("package", ["onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(
    exported: Exported, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, _, folder = exported("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package} is needed and missing .*pip install lxmert\[export\]"):
        export(make_model(), tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()
    if package == "onnxruntime":
        with pytest.raises(ImportError, match=r"pip install lxmert\[export\]"):
            ExportedLxmert.from_folder(folder)


def test_signals_are_heard_after_engines_are_gone(exported: Exported) -> None:
    """As that of a DataLoader's worker that ends; engines go in the order in which they came."""
    _, _, folder = exported("openvino")
    code = f"""
import os, signal
from lxmert.engines import ExportedLxmert

first, second = (ExportedLxmert.from_folder({str(folder)!r}) for _ in range(2))
del first
del second
signal.signal(signal.SIGCHLD, lambda *_: print("heard"))
if os.fork() == 0:
    os._exit(0)
os.wait()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (result.returncode, result.stdout) == (0, "heard\n")


def test_nothing_of_the_extra_is_imported_before_it_is_used() -> None:
    code = "import sys, lxmert, lxmert.engines; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    packages = {"onnx", "onnxscript", "onnxruntime", "openvino"}
    assert all(importlib.util.find_spec(package) for package in packages)
    assert not packages & set(result.stdout.split())


def test_8_bits_are_the_nearest_numbers() -> None:
    weights = np.array([[0.508, -1.27, 0.004], [0.0, 0.0, 0.0]], np.float32)
    numbers, scales = eight_bits(weights, axis=1)
    assert numbers.dtype == np.int8
    assert numbers.tolist() == [[51, -127, 0], [0, 0, 0]]
    np.testing.assert_allclose(scales, [[0.01], [1]], rtol=1e-6)
    numbers, scales = eight_bits(weights, axis=0)
    assert scales.shape == (1, 3)
    assert (np.abs(numbers * scales - weights) <= 0.501 * scales).all()
