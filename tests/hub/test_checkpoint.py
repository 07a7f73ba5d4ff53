"""What is looked at before a checkpoint is published."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lxmert import (
    GridRegionExtractor,
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForVisualReasoning,
    LxmertModel,
    LxmertProcessor,
)
from lxmert.hub.checkpoint import Example, check_checkpoint


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "copy")


def change(file: Path, **fields: Any) -> None:
    """Fields of a JSON file; None takes one away."""
    content = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_a_whole_one(checkpoint: Path, colours: Path) -> None:
    picture = colours / "pictures" / "25.png"
    found = check_checkpoint(checkpoint, [Example(picture, "what color is it?")])
    assert found.head == "LxmertForQuestionAnswering"
    assert set(found.answers) == {"red", "blue", "black"}
    assert found.extractor == "ComponentRegionExtractor"
    assert found.feature_dim == 4 * 4 * 3
    assert found.sees_pictures
    assert set(found.files) == {path.name for path in checkpoint.iterdir()} - {"README.md"}
    (example,) = found.examples
    assert example.answer in found.answers
    assert 1 / 3 < example.probability < 1
    assert found.parameters == sum(tensor.numel() for tensor in load_file(checkpoint / "model.safetensors").values())


@pytest.mark.parametrize("head", [LxmertForVisualReasoning, LxmertForImageAndTextRetrieval, LxmertForPreTraining])
def test_every_head(
    head: Any, small_config: Callable[..., LxmertConfig], processor: LxmertProcessor, tmp_path: Path
) -> None:
    config = small_config(vocab_size=len(processor.tokenizer))
    head(config).save_pretrained(tmp_path)
    LxmertProcessor(processor.tokenizer).save_pretrained(tmp_path)
    found = check_checkpoint(tmp_path)
    assert found.head == head.__name__
    assert not found.answers_questions
    assert found.extractor is None
    with pytest.raises(ValueError, match=f"this is a {head.__name__} without an extractor: leave examples out"):
        check_checkpoint(tmp_path, [Example(tmp_path / "a.png", "is it red?")])


def add_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


def add_stray(folder: Path) -> None:
    (folder / "notes.txt").write_text("secret")
    (folder / "state").mkdir()
    (folder / "state" / "trainer.json").write_text("{}")


def cut_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "answer_head" not in name}
    assert 0 < len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def damage_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    broken = {name: torch.full_like(tensor, float("nan")) for name, tensor in weights.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})


def other_extractor(folder: Path) -> None:
    change(folder / "processor_config.json", region_extractor=GridRegionExtractor(rows=2, columns=2).to_dict())


def truncate(name: str) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (add_pickle, ValueError, "pytorch_model.bin: pickled files run code.*save_pretrained"),
        (add_stray, ValueError, "does not belong to a checkpoint: notes.txt, state/trainer.json. Move it elsewhere"),
        (cut_weights, ValueError, r"not whole: LxmertForQuestionAnswering lacks answer_head.*and \d+ more"),
        (truncate("model.safetensors"), ValueError, "model.safetensors cannot be loaded"),
        (truncate("config.json"), ValueError, "config.json is damaged"),
        (truncate("tokenizer.json"), ValueError, "tokenizer.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), ValueError, "config.json must hold a JSON dict"),
        (lambda folder: change(folder / "config.json", architectures=5), ValueError, "names None"),
        (lambda folder: change(folder / "config.json", id2label=[1]), ValueError, "copy cannot be loaded"),
        (lambda folder: change(folder / "config.json", hidden_size="x"), ValueError, "copy cannot be loaded"),
        (damage_weights, ValueError, "scores that are not finite"),
        (other_extractor, ValueError, "makes features of width .*, the model takes 48"),
        (lambda folder: (folder / "config.json").unlink(), FileNotFoundError, "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), FileNotFoundError, "has no weights"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), FileNotFoundError, "no tokenizer_config.json"),
        (lambda folder: (folder / "processor_config.json").unlink(), FileNotFoundError, "no processor_config.json"),
        (lambda folder: change(folder / "config.json", architectures=["LxmertModel"]), ValueError, "'LxmertModel'"),
        (lambda folder: change(folder / "config.json", architectures=None), ValueError, "names None"),
        (
            lambda folder: change(folder / "config.json", id2label=None, label2id=None, num_qa_labels=3),
            ValueError,
            "has 3 answers but config.json does not name them.*name_answers",
        ),
        (
            lambda folder: change(folder / "config.json", id2label={f"{i}": f"LABEL_{i}" for i in range(3)}),
            ValueError,
            "has 3 answers but config.json does not name them",
        ),
    ],
)
def test_what_is_not_published(spoil: Callable[[Path], Any], kind: type[Exception], message: str, copy: Path) -> None:
    spoil(copy)
    with pytest.raises(kind, match=message) as caught:
        check_checkpoint(copy)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is no checkpoint"):
        check_checkpoint(tmp_path / "nowhere")


def test_what_belongs_to_a_page_may_lie_there(copy: Path) -> None:
    for name in ("LICENSE", "training_curve.png", "modeling_lxmert.py", "handler.py", ".gitattributes"):
        (copy / name).write_bytes(b"")
    assert not {"LICENSE", "handler.py"} & set(check_checkpoint(copy).files)


def test_an_encoder_alone_is_no_page(
    small_config: Callable[..., LxmertConfig], processor: LxmertProcessor, tmp_path: Path
) -> None:
    LxmertModel(small_config(vocab_size=len(processor.tokenizer))).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must be one of LxmertForQuestionAnswering"):
        check_checkpoint(tmp_path)


def test_a_picture_that_is_not_there(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        check_checkpoint(checkpoint, [Example(tmp_path / "nowhere.png", "what color is it?")])
    assert np.isfinite(check_checkpoint(checkpoint).parameters)
