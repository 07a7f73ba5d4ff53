"""Exported graphs give what PyTorch gives, in every size, with every mask, whole and in halves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lxmert import LxmertForPreTraining, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.engines import FORMATS, PARTS, ExportedLxmert, ExportRecord, export
from lxmert.engines.graphs import WORDS
from lxmert.engines.packages import openvino_core
from tests.conftest import ROOT, make_batch, make_masks
from tests.engines.conftest import Exported, make_model
from tests.examples.test_nlvr_checkpoint import SENTENCES

TOLERANCE = 1e-5
PAIRED = "LxmertForVisualReasoning"
Inputs = dict[str, torch.Tensor]


def halves(exported: ExportedLxmert, inputs: Inputs) -> Any:
    """The same question asked of the two halves, one after the other."""
    images = {name: tensor for name, tensor in inputs.items() if name.startswith("visual")}
    if exported.paired:
        encoded = exported.encode_regions(**{name: tensor.flatten(0, 1) for name, tensor in images.items()})
        encoded = encoded.unflatten(0, (-1, 2))
    else:
        encoded = exported.encode_regions(**images)
    mask = images.get("visual_attention_mask")
    words = {name: tensor for name, tensor in inputs.items() if name in WORDS}
    return exported(**words, encoded_regions=encoded, visual_attention_mask=mask)


@torch.no_grad()
def assert_equal(model: Any, exported: ExportedLxmert, inputs: Inputs, tolerance: float = TOLERANCE) -> None:
    expected = model(**inputs)
    outputs = [exported(**inputs)] + ([halves(exported, inputs)] if "rest" in exported.graphs else [])
    for output in outputs:
        assert type(output) is type(expected)
        for name in output:
            torch.testing.assert_close(output[name], expected[name], atol=tolerance, rtol=0)


def holes(batch: int, length: int, seed: int) -> torch.Tensor:
    """A mask with zeros anywhere but at the first place."""
    mask = (torch.rand(batch, length, generator=torch.Generator().manual_seed(seed)) > 0.4).long()
    mask[:, 0] = 1
    return mask


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("batch", "words", "regions"), [(3, 9, 5), (1, 9, 5), (1, 1, 1), (4, 16, 36), (2, 1, 7), (5, 7, 1), (1, 12, 100)]
)
def test_any_size_with_holes_and_padding(exported: Exported, form: str, batch: int, words: int, regions: int) -> None:
    model, engine, _ = exported(form)
    inputs = make_batch(words, regions, batch, seed=words)
    inputs |= {"attention_mask": holes(batch, words, 1), "visual_attention_mask": holes(batch, regions, 2)}
    inputs["token_type_ids"] = 1 - holes(batch, words, 3)
    assert_equal(model, engine, inputs)


@pytest.mark.parametrize("form", FORMATS)
def test_masks_are_obeyed_on_both_sides(exported: Exported, form: str) -> None:
    model, engine, _ = exported(form)
    inputs, masks = make_batch(), make_masks()
    assert_equal(model, engine, inputs | masks)
    whole = engine(**inputs).logits
    for name, mask in masks.items():
        changed = (engine(**inputs, **{name: mask}).logits - whole).abs().amax(1)
        assert changed[0] < TOLERANCE
        assert changed[1:].min() > 1e-3, name  # padded, and with a hole
    # what is hidden may be anything
    hidden = dict(inputs)
    hidden["input_ids"] = torch.where(masks["attention_mask"] == 0, 3, inputs["input_ids"])
    hidden["visual_feats"] = torch.where(masks["visual_attention_mask"][..., None] == 0, 9.0, inputs["visual_feats"])
    torch.testing.assert_close(
        engine(**hidden, **masks).logits, engine(**inputs, **masks).logits, atol=TOLERANCE, rtol=0
    )


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_left_out_is_what_the_model_takes(exported: Exported, form: str) -> None:
    model, engine, _ = exported(form)
    assert_equal(model, engine, make_batch())


@pytest.mark.parametrize("name", ["LxmertModel", PAIRED, "LxmertForImageAndTextRetrieval"])
@pytest.mark.parametrize("form", FORMATS)
def test_other_models(exported: Exported, name: str, form: str) -> None:
    model, engine, _ = exported(form, name)
    images = 2 if name == PAIRED else 1
    assert_equal(model, engine, make_batch(images=images) | make_masks(images=images))
    assert_equal(model, engine, make_batch(4, 6, batch=1, images=images))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["LxmertForQuestionAnswering", PAIRED])
@torch.no_grad()
def test_one_on_either_side_is_paired_with_all(exported: Exported, form: str, name: str) -> None:
    model, engine, _ = exported(form, name)
    inputs = make_batch(images=2 if name == PAIRED else 1) | make_masks(images=2 if name == PAIRED else 1)
    for single in (WORDS, ("visual_feats", "visual_pos", "visual_attention_mask")):
        one = {field: tensor[1:2] if field in single else tensor for field, tensor in inputs.items()}
        assert_equal(model, engine, one)
        assert len(engine(**one).logits) == 3


@pytest.mark.parametrize("form", FORMATS)
def test_8_bits_keep_the_answers_of_a_real_model(form: str, tmp_path: Path) -> None:
    from lxmert.training.nlvr_drawing import draw_scene

    checkpoint = ROOT / "checkpoints" / "nlvr"
    model = LxmertForQuestionAnswering.from_pretrained(checkpoint, dtype=torch.float32)
    processor = LxmertProcessor.from_pretrained(checkpoint)
    texts, pictures = [text for _, text, _ in SENTENCES], [draw_scene(scene) for scene, _, _ in SENTENCES]
    inputs = processor(text=texts, images=pictures, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits
    sizes = {}
    for precision in ("float32", "int8"):
        folder = tmp_path / precision
        export(model, folder, form, precision=precision, processor=processor, progress=False)
        sizes[precision] = sum(file.stat().st_size for file in folder.glob("whole.*") if file.suffix != ".xml")
        logits = ExportedLxmert.from_folder(folder)(**inputs).logits
        assert torch.equal(logits.argmax(1), expected.argmax(1))
        difference = (logits - expected).abs().max().item()
        assert difference < (1e-4 if precision == "float32" else 0.1 * expected.abs().max().item())
        if precision == "int8":
            assert difference > 1e-4  # it is not float32 under another name
    assert sizes["int8"] < 0.5 * sizes["float32"]
    again = LxmertProcessor.from_pretrained(tmp_path / "int8")(text=texts, images=pictures, return_tensors="pt")
    assert torch.equal(again["input_ids"], inputs["input_ids"])


def test_half_precision_is_half_the_size(exported: Exported) -> None:
    inputs = make_batch() | make_masks()
    model, engine, folder = exported("openvino", precision="float16")
    assert_equal(model, engine, inputs, tolerance=2e-2)
    large = exported("openvino")[2] / "whole.bin"
    assert (folder / "whole.bin").stat().st_size < 0.6 * large.stat().st_size


def test_the_folder_is_all_one_needs(tmp_path: Path, processor: LxmertProcessor) -> None:
    model = make_model().train().to(torch.bfloat16)
    model.set_attn_implementation("sdpa")
    record = export(model, tmp_path / "new" / "folder", parts=("regions",), processor=processor, progress=False)
    # the model is as it was
    assert model.training
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "sdpa"

    folder = tmp_path / "new" / "folder"
    assert ExportRecord.load(folder) == record
    assert record.opset == 20
    assert record.versions["torch"] == torch.__version__
    assert {"regions.onnx", "config.json", "export.json", "processor_config.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert str(ROOT).encode() not in (folder / "regions.onnx").read_bytes()  # nothing of the machine that exported it
    engine = ExportedLxmert.from_folder(folder)
    assert engine.config.id2label == model.config.id2label
    images = {name: tensor for name, tensor in make_batch().items() if name != "input_ids"}
    assert engine.encode_regions(**images).shape == (3, 5, 32)


@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_says_what_it_takes(exported: Exported, form: str) -> None:
    import onnxruntime

    _, _, folder = exported(form)
    if form == "onnx":
        session = onnxruntime.InferenceSession(folder / "rest.onnx")
        shapes = {value.name: value.shape for value in [*session.get_inputs(), *session.get_outputs()]}
        assert shapes["encoded_regions"] == ["batch", "regions", 32]
        assert shapes["input_ids"] == ["batch", "tokens"]
        assert shapes["question_answering_score"] == ["batch", 7]
    else:
        graph = openvino_core().read_model(folder / "rest.xml")
        shapes = {value.get_any_name(): str(value.get_partial_shape()) for value in [*graph.inputs, *graph.outputs]}
        assert shapes["encoded_regions"] == "[?,?,32]"
        assert shapes["question_answering_score"] == "[?,7]"
    assert len(shapes) == 6


def test_bad_requests(tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="format must be one of onnx, openvino, got 'tflite'"):
        export(model, tmp_path, "tflite")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="precision of format 'onnx' must be one of float32, int8, got 'float16'"):
        export(model, tmp_path, precision="float16")
    for parts in ((), ("whole", "whole"), ("head",), "whole"):
        with pytest.raises(ValueError, match="parts must be some of"):
            export(model, tmp_path, parts=parts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="model must be one of LxmertModel, .* got LxmertForPreTraining"):
        export(LxmertForPreTraining(model.config), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_nothing_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    export(model, tmp_path, progress=False)

    def fail(*_: Any) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr("lxmert.engines.exporting._convert", fail)
    with pytest.raises(RuntimeError, match="no space"):
        export(model, tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match=r"has no export\.json"):
        ExportedLxmert.from_folder(tmp_path)


def test_parts_are_named() -> None:
    assert PARTS == ("whole", "regions", "rest")
