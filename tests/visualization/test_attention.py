"""Attention records: every map with names, cut to what is there, as a table and as a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertForVisualReasoning, LxmertProcessor
from lxmert.processing import Regions
from lxmert.visualization import AttentionRecord, attention_record
from lxmert.visualization.attention import KINDS, record_of
from tests.conftest import QUESTIONS, make_batch, make_masks


@pytest.fixture
def record(small_model: LxmertForQuestionAnswering) -> AttentionRecord:
    return attention_record(small_model, make_batch() | make_masks())


def test_every_map_is_the_models(small_model: LxmertForQuestionAnswering, record: AttentionRecord) -> None:
    small_model.set_attn_implementation("eager")
    with torch.no_grad():
        output = small_model(**make_batch(), **make_masks(), output_attentions=True)
    assert list(record.maps) == list(KINDS)
    for kind, of in KINDS.items():
        expected = torch.stack(list(output[of.output])).numpy()
        np.testing.assert_allclose(record.maps[kind], expected, atol=1e-6)
        sizes = {"words": 9, "regions": 5}
        assert record.maps[kind].shape == (2, 3, 4, sizes[of.queries], sizes[of.keys])
        np.testing.assert_allclose(record.maps[kind].sum(-1), 1, atol=1e-5)


def test_a_pair_is_cut_to_what_is_there(record: AttentionRecord) -> None:
    whole, padded, holed = record
    assert [len(item.words[0]) for item in record] == [9, 4, 8]
    assert [len(item.regions[0]) for item in record] == [5, 2, 4]
    np.testing.assert_array_equal(whole.maps["language"][:, 0], record.maps["language"][:, 0])
    np.testing.assert_array_equal(
        padded.maps["language_to_vision"][:, 0], record.maps["language_to_vision"][:, 1, :, :4, :2]
    )
    kept = [0, 1, 3, 4, 5, 6, 7, 8]
    np.testing.assert_array_equal(
        holed.maps["cross_language_self"][:, 0], record.maps["cross_language_self"][:, 2][:, :, kept][..., kept]
    )
    for item in record:  # nothing is lost: all attention is on what is there
        np.testing.assert_allclose(item.maps["vision_to_language"].sum(-1), 1, atol=1e-5)
    assert record[-1].words == holed.words
    with pytest.raises(IndexError, match="Pair 3 is not among the 3"):
        record[3]


def test_names_come_from_processor_and_regions(
    small_model: LxmertForQuestionAnswering, processor: LxmertProcessor, drawing: Image.Image
) -> None:
    model = LxmertForQuestionAnswering(
        LxmertConfig(**small_model.config.to_dict() | {"vocab_size": len(processor.tokenizer)})
    )
    found = Regions(
        np.zeros((2, 12)),
        [[2, 3, 12, 13], [20, 10, 36, 26]],
        (30, 40),
        object_ids=[1, -1],
        object_names=("sky", "ball"),
    )
    inputs = processor(text=QUESTIONS[:2], regions=found)
    record = attention_record(model, dict(inputs), processor, found)
    assert record.words[0][:3] == ("[CLS]", "what", "color")
    assert record[0].words[0][-1] == "[SEP]"
    assert record.words[1][-1] != "[PAD]"  # the longest
    assert record.regions == (("ball", "region 1"),) * 2
    unnamed = attention_record(model, dict(inputs))
    assert unnamed.words[0][0] == str(processor.tokenizer.cls_token_id)
    assert unnamed.regions[0] == ("region 0", "region 1")
    with pytest.raises(ValueError, match="regions of each of the 2 images, or one for all, got 3"):
        attention_record(model, dict(inputs), processor, [found] * 3)
    one = Regions(np.zeros((1, 12)), [[2, 3, 12, 13]], (30, 40))
    with pytest.raises(ValueError, match="regions has 1 where the inputs have 2: give those that"):
        attention_record(model, dict(inputs), processor, one)


def test_pairs_of_images_have_a_record_each(small_config: Callable[..., LxmertConfig]) -> None:
    model = LxmertForVisualReasoning(small_config()).eval()
    inputs = make_batch(images=2) | make_masks(images=2)
    record = attention_record(model, inputs)
    assert len(record) == 6
    assert record.words[0] == record.words[1] != record.words[2]
    np.testing.assert_array_equal(record.region_mask, inputs["visual_attention_mask"].reshape(6, 5).bool().numpy())


def test_a_fused_kernel_is_left_for_one_call(
    small_model: LxmertForQuestionAnswering, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lxmert.modeling_lxmert import model as module

    said: list[str] = []
    monkeypatch.setattr(module.logger, "warning_once", said.append)
    small_model.set_attn_implementation("sdpa")
    small_model.train()
    record = attention_record(small_model, make_batch())
    assert small_model.config._attn_implementation == "sdpa"
    assert small_model.training
    assert "do not come out of 'sdpa' attention: calls that ask for them run eager" in said[0]
    small_model.set_attn_implementation("eager")
    np.testing.assert_array_equal(
        record.maps["vision"], attention_record(small_model, make_batch()).maps["vision"]
    )  # dropout was off


def test_the_table_has_a_row_for_every_number(record: AttentionRecord) -> None:
    table = record.table()
    assert list(table.columns) == [
        *("pair", "kind", "layer", "head", "query", "query_name", "key", "key_name", "attention"),
    ]
    assert len(table) == sum(array.size for item in record for array in item.maps.values())
    row = table.query(
        "pair == 1 and kind == 'vision_to_language' and layer == 1 and head == 2 and query == 1 and key == 3"
    )
    assert row["attention"].item() == record.maps["vision_to_language"][1, 1, 2, 1, 3]
    assert row["query_name"].item() == "region 1"
    assert row["key_name"].item() == record.words[1][3]
    sums = table.groupby(["pair", "kind", "layer", "head", "query"])["attention"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_saved_and_loaded(record: AttentionRecord, tmp_path: Path) -> None:
    path = record.save(tmp_path / "folder" / "maps.npz")
    loaded = AttentionRecord.load(path)
    assert loaded.words == record.words
    assert loaded.regions == record.regions
    np.testing.assert_array_equal(loaded.word_mask, record.word_mask)
    assert list(loaded.maps) == list(record.maps)
    for kind, array in record.maps.items():
        np.testing.assert_array_equal(loaded.maps[kind], array)
    assert [item.name for item in path.parent.iterdir()] == ["maps.npz"]


def test_other_files_are_refused(record: AttentionRecord, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="saved as an .npz file"):
        record.save(tmp_path / "maps.pt")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no attention record"):
            AttentionRecord.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        AttentionRecord.load(tmp_path / "absent.npz")


def test_what_does_not_fit_is_refused(small_model: LxmertForQuestionAnswering, record: AttentionRecord) -> None:
    with pytest.raises(ValueError, match="has no attention maps: call the model with output_attentions=True"):
        record_of(small_model(**make_batch()), make_batch())
    masks = record.word_mask, record.region_mask
    with pytest.raises(ValueError, match="unknown kind 'sideways'"):
        AttentionRecord({"sideways": record.maps["vision"]}, record.words, record.regions, *masks)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"maps\['vision'\] must have the shape \(layers, 3, heads, 5, 5\)"):
        AttentionRecord({"vision": record.maps["language"]}, record.words, record.regions, *masks)
    with pytest.raises(ValueError, match="words and their mask do not fit"):
        AttentionRecord(record.maps, record.words[:2], record.regions, *masks)


def test_encoded_text_has_no_maps_of_its_encoder(small_model: LxmertForQuestionAnswering) -> None:
    batch = make_batch()
    text = small_model.lxmert.encode_text(batch.pop("input_ids"))
    record = attention_record(small_model, batch | {"encoded_text": text})
    assert "language" not in record.maps
    assert record.maps["cross_language_self"].shape == (2, 3, 4, 9, 9)
    assert record.words[0][:2] == ("word 0", "word 1")
