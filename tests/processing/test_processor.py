import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, BertTokenizer

from lxmert import ComponentRegionExtractor, GridRegionExtractor, LxmertProcessor, Regions

ONE = Regions(features=[[1.0, 2.0]], boxes=[[0, 0, 20, 5]], image_size=(10, 20))
TWO = Regions(features=[[3.0, 4.0], [5.0, 6.0]], boxes=[[0, 0, 20, 10], [5, 5, 10, 10]], image_size=(10, 20))
QUESTION = "what color is the shape?"


def test_both_sides_are_padded_to_the_longest(processor: LxmertProcessor) -> None:
    batch = processor(text=[QUESTION, "is there a circle?"], regions=[ONE, TWO])
    assert list(batch) == processor.model_input_names
    assert batch["visual_feats"].tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert batch["visual_pos"].tolist() == [[[0, 0, 1, 0.5], [0, 0, 0, 0]], [[0, 0, 1, 1], [0.25, 0.5, 0.5, 1]]]
    assert batch["visual_attention_mask"].tolist() == [[1, 0], [1, 1]]
    tokens = [processor.tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"]]
    assert tokens[0][0] == tokens[1][0] == "[CLS]"
    assert tokens[0] == ["[CLS]", "what", "color", "is", "the", "shape", "?", "[SEP]"]
    assert tokens[1][-1] == "[PAD]"
    assert batch["attention_mask"].tolist() == [[int(token != "[PAD]") for token in row] for row in tokens]
    assert batch["visual_feats"].dtype == torch.float32
    assert batch["input_ids"].dtype == batch["visual_attention_mask"].dtype == torch.int64


def test_one_image_serves_all_questions(processor: LxmertProcessor) -> None:
    batch = processor(text=[QUESTION] * 3, regions=ONE, return_tensors="np")
    assert batch["visual_feats"].tolist() == [[[1, 2]]] * 3
    assert isinstance(batch["visual_feats"], np.ndarray)


def test_either_side_alone(processor: LxmertProcessor) -> None:
    assert list(processor(text=QUESTION)) == ["input_ids", "token_type_ids", "attention_mask"]
    assert list(processor(regions=[ONE, TWO])) == ["visual_feats", "visual_pos", "visual_attention_mask"]


def test_pictures_become_regions(processor: LxmertProcessor, drawing: Image.Image, tmp_path: Path) -> None:
    drawing.save(tmp_path / "drawing.png")
    expected = processor(text=QUESTION, regions=processor.region_extractor(drawing))
    assert expected["visual_feats"].shape == (1, 3, 12)
    for picture in (drawing, [drawing], np.asarray(drawing), str(tmp_path / "drawing.png"), tmp_path / "drawing.png"):
        batch = processor(text=QUESTION, images=picture)
        for name, tensor in expected.items():
            assert torch.equal(batch[name], tensor), name


def test_pairs_of_images_stay_together(processor: LxmertProcessor) -> None:
    batch = processor(text=[QUESTION, "is there a circle?"], regions=[[ONE, TWO], (TWO, ONE)])
    assert batch["visual_feats"].tolist() == [
        [[[1, 2], [0, 0]], [[3, 4], [5, 6]]],
        [[[3, 4], [5, 6]], [[1, 2], [0, 0]]],
    ]
    assert batch["visual_pos"].shape == (2, 2, 2, 4)
    assert batch["visual_pos"][1, 0].tolist() == [[0, 0, 1, 1], [0.25, 0.5, 0.5, 1]]
    assert batch["visual_attention_mask"].tolist() == [[[1, 0], [1, 1]], [[1, 1], [1, 0]]]
    assert batch["input_ids"].shape == (2, 8)
    assert processor(regions=[[ONE, TWO]])["visual_feats"].shape == (1, 2, 2, 2)


def test_one_pair_serves_all_sentences(processor: LxmertProcessor) -> None:
    batch = processor(text=[QUESTION] * 3, regions=[[ONE, TWO]])
    assert batch["visual_attention_mask"].tolist() == [[[1, 0], [1, 1]]] * 3


def test_pairs_of_pictures(processor: LxmertProcessor, drawing: Image.Image) -> None:
    plain = Image.new("RGB", (40, 30), "white")
    regions = processor.region_extractor([drawing, plain])
    expected = processor(text=QUESTION, regions=[regions])
    for pair in ([drawing, plain], (np.asarray(drawing), np.asarray(plain))):
        batch = processor(text=QUESTION, images=[pair])
        assert all(torch.equal(batch[name], tensor) for name, tensor in expected.items())


def test_long_questions_are_cut_only_on_demand(processor: LxmertProcessor) -> None:
    long = "is there a circle in the image? " * 3
    with pytest.raises(
        ValueError, match=r"text has a question of 26 tokens as number 1, the limit is 16.*truncation=True"
    ):
        processor(text=[QUESTION, long], regions=ONE)
    assert processor(text=long, regions=ONE, truncation=True)["input_ids"].shape == (1, 16)
    assert processor(text=long, regions=ONE, max_length=40)["input_ids"].shape == (1, 26)
    with pytest.raises(ValueError, match="the limit is 5"):
        processor(text=QUESTION, regions=ONE, max_length=5)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({}, ValueError, "Give text, regions or images: all three are None"),
        ({"text": [QUESTION, "  "], "regions": ONE}, ValueError, "text has an empty question as number 1"),
        ({"text": "", "regions": ONE}, ValueError, "text has an empty question as number 0"),
        ({"text": "\x00\x01", "regions": ONE}, ValueError, "text has a question without a token as number 0"),
        ({"text": [], "regions": ONE}, ValueError, "text holds no question"),
        ({"text": [QUESTION, 3], "regions": ONE}, TypeError, "text must be questions, got int as number 1"),
        ({"text": [QUESTION] * 3, "regions": [ONE, TWO]}, ValueError, "text has 3 questions but there are 2 images"),
        ({"text": QUESTION, "regions": []}, ValueError, "is an empty list"),
        ({"text": QUESTION, "regions": [np.ones((2, 3))]}, TypeError, "lxmert.Regions, got ndarray as number 0"),
        ({"text": QUESTION, "regions": ONE, "images": "a.png"}, ValueError, "either regions or images, got both"),
        ({"text": [QUESTION] * 2, "regions": [[ONE, TWO], ONE]}, ValueError, r"mixes pairs with single .*\(number 1\)"),
        ({"text": QUESTION, "regions": [[ONE]]}, ValueError, r"pairs \[left, right\] .*, got 1 as number 0"),
        ({"text": QUESTION, "images": [["a.png"] * 3]}, ValueError, r"images must be pairs .*, got 3 as number 0"),
        ({"text": [QUESTION] * 3, "regions": [[ONE, TWO]] * 2}, ValueError, "3 questions but there are 2 pairs of im"),
        ({"text": QUESTION, "regions": [ONE, TWO]}, ValueError, r"of one sentence are written \[\[left, right\]\]"),
        ({"text": QUESTION, "regions": [[ONE, 3]]}, TypeError, "lxmert.Regions, got int as number 1"),
        ({"text": QUESTION, "region": ONE}, TypeError, "unexpected keyword argument 'region'"),
    ],
)
def test_bad_calls_are_refused(
    processor: LxmertProcessor, keywords: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        processor(**keywords)


def test_features_of_different_widths_are_refused(processor: LxmertProcessor) -> None:
    wide = Regions(features=[[1.0, 2.0, 3.0]], boxes=[[0, 0, 2, 2]], image_size=(4, 4))
    with pytest.raises(ValueError, match=r"features of different widths, \[2, 3\]"):
        processor(text=[QUESTION] * 2, regions=[ONE, wide])


def test_images_need_an_extractor(processor: LxmertProcessor, drawing: Image.Image) -> None:
    with pytest.raises(ValueError, match="no region extractor"):
        LxmertProcessor(processor.tokenizer)(text=QUESTION, images=drawing)


@pytest.mark.parametrize(
    "extractor",
    [None, ComponentRegionExtractor(crop_size=3, mean=(0.1, 0.2, 0.3)), GridRegionExtractor(rows=2, columns=3)],
)
def test_save_and_load(processor: LxmertProcessor, extractor: object, drawing: Image.Image, tmp_path: Path) -> None:
    saved = LxmertProcessor(processor.tokenizer, extractor)
    saved.save_pretrained(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "moved")  # a checkpoint may be used elsewhere
    for loaded in (LxmertProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path / "moved")):
        assert type(loaded) is LxmertProcessor
        assert isinstance(loaded.tokenizer, BertTokenizer)
        assert loaded.tokenizer.model_max_length == 16
        assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
        assert loaded.to_dict() == saved.to_dict()
        source = {"regions": TWO} if extractor is None else {"images": drawing}
        before, after = saved(text=QUESTION, **source), loaded(text=QUESTION, **source)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_unknown_extractor_is_named(processor: LxmertProcessor) -> None:
    with pytest.raises(ValueError, match="'Magic' is unknown; known are: ComponentRegionExtractor, .*GridRegion"):
        LxmertProcessor(processor.tokenizer, {"region_extractor_type": "Magic"})
