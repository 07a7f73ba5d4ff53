from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import FasterRcnnForRegionFeatures, FasterRcnnRegionExtractor, LxmertProcessor
from lxmert.detection import FasterRcnnImageProcessor
from lxmert.processing import RegionExtractor
from tests.detection.small_detector import ATTRIBUTES, OBJECTS, noise, save_small_detector, small_detector


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_small_detector(tmp_path_factory.mktemp("detector"))


def test_pictures_become_regions(checkpoint: str) -> None:
    extractor = FasterRcnnRegionExtractor(checkpoint, batch_size=2)
    pictures = [noise(60, 80), noise(200, 90, seed=1), noise(60, 80, seed=2)]
    found = extractor(pictures)
    for picture, regions in zip(pictures, found, strict=True):
        assert regions.image_size == (picture.height, picture.width)
        assert regions.features.shape == (len(regions), extractor.feature_dim)
        assert 1 <= len(regions) <= 8
        assert regions.object_ids is not None
        assert regions.attribute_ids is not None
        assert regions.object_ids.max() < len(OBJECTS)
        assert regions.attribute_ids.max() < len(ATTRIBUTES)
        # boxes lie in the original's pixels, beyond the size that the network sees
        (alone,) = extractor(picture)
        np.testing.assert_allclose(regions.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(regions.features, alone.features, atol=1e-4)
    assert found[1].boxes[:, 3].max() > 96


def test_a_box_in_the_original_is_the_box_that_was_pooled(checkpoint: str) -> None:
    extractor = FasterRcnnRegionExtractor(checkpoint, selection="per_class")  # keeps the proposals' own boxes
    picture = noise(200, 90, seed=1)
    (regions,) = extractor(picture)
    inputs = extractor.image_processor(picture)
    height, width = inputs["image_sizes"][0].tolist()
    boxes = torch.from_numpy(regions.normalized_boxes) * torch.tensor([width, height, width, height])
    with torch.inference_mode():
        (features,) = extractor.model.region_features(inputs["pixel_values"], [boxes])
    np.testing.assert_allclose(regions.features, features.numpy(), atol=1e-4)


def test_limits_may_be_given_one_at_a_time(checkpoint: str) -> None:
    assert len(FasterRcnnRegionExtractor(checkpoint, max_boxes=2)(noise(60, 80))[0]) == 2
    extractor = FasterRcnnRegionExtractor(checkpoint, min_boxes=10)
    assert (extractor.model.config.min_boxes, extractor.model.config.max_boxes) == (10, 10)
    with pytest.raises(ValueError, match=r"min_boxes \(5\) must not be above max_boxes \(3\)"):
        FasterRcnnRegionExtractor(checkpoint, min_boxes=5, max_boxes=3)


def test_names_come_from_a_file_or_the_checkpoint(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "objects.txt").write_text("cat,kitten\ndog\ncar\ntree\nhouse\n")
    extractor = FasterRcnnRegionExtractor(
        checkpoint, object_names=tmp_path / "objects.txt", attribute_names=list(ATTRIBUTES)
    )
    (regions,) = extractor(noise(60, 80))
    assert (regions.object_names, regions.attribute_names) == (OBJECTS, ATTRIBUTES)
    extractor.model.save_pretrained(tmp_path / "named")
    extractor.image_processor.save_pretrained(tmp_path / "named")
    again = FasterRcnnRegionExtractor(str(tmp_path / "named"))
    assert (again.object_names, again.attribute_names) == (OBJECTS, ATTRIBUTES)
    with pytest.raises(ValueError, match="object_names has 2 names for 5 classes"):
        FasterRcnnRegionExtractor(checkpoint, object_names=["cat", "dog"])


def test_it_travels_with_the_processor(checkpoint: str, processor: LxmertProcessor, tmp_path: Path) -> None:
    extractor = FasterRcnnRegionExtractor(checkpoint, max_boxes=5, selection="per_class", dtype="bfloat16")
    LxmertProcessor(processor.tokenizer, extractor).save_pretrained(tmp_path)
    loaded = LxmertProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded.region_extractor, FasterRcnnRegionExtractor)
    assert loaded.region_extractor.settings() == extractor.settings()
    inputs = loaded(text=["is it red?", "is it?"], images=[noise(60, 80), Image.new("RGB", (1, 1))])
    assert inputs["visual_feats"].shape[2] == extractor.feature_dim
    assert inputs["visual_attention_mask"][0].tolist() == [1] * 5
    # fewer regions than wanted are filled up and masked
    count = int(inputs["visual_attention_mask"][1].sum())
    assert 1 <= count <= 5
    assert inputs["visual_feats"][1, count:].abs().sum() == 0


def test_settings_make_an_equal_extractor(checkpoint: str) -> None:
    extractor = FasterRcnnRegionExtractor(checkpoint, min_boxes=2, max_boxes=3)
    again = RegionExtractor.from_dict(extractor.to_dict())
    np.testing.assert_array_equal(extractor(noise(50, 50))[0].features, again(noise(50, 50))[0].features)


def test_what_cannot_be_found_again_is_refused() -> None:
    with pytest.raises(ValueError, match="model needs its image_processor"):
        FasterRcnnRegionExtractor(small_detector())
    extractor = FasterRcnnRegionExtractor(small_detector(), FasterRcnnImageProcessor(32, 64))
    assert len(extractor(noise(40, 40))[0]) >= 1
    with pytest.raises(ValueError, match="has no name: save both into one folder"):
        extractor.settings()
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        FasterRcnnRegionExtractor(small_detector(), FasterRcnnImageProcessor(32, 64), batch_size=0)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (40, 40)])
def test_odd_pictures_have_regions(checkpoint: str, size: tuple[int, int]) -> None:
    (regions,) = FasterRcnnRegionExtractor(checkpoint)(Image.new("RGB", size, "gray"))
    assert 1 <= len(regions) <= 8
    assert regions.image_size == size[::-1]


@pytest.mark.parametrize("selection", ["raised_threshold", "per_class"])
def test_the_smallest_pictures_have_a_region(selection: Any) -> None:
    """Boxes inside the first pixel, which could be taken for normalised ones."""
    processor = FasterRcnnImageProcessor(shorter_side=64, longer_side=96)
    extractor = FasterRcnnRegionExtractor(small_detector(), processor, selection, min_boxes=1, max_boxes=1)
    for height in range(1, 8):
        for width in range(1, 8):
            (regions,) = extractor(noise(height, width, seed=height * width))
            assert len(regions) == 1


def test_extractors_that_share_a_model_do_not_change_each_other() -> None:
    model, processor = small_detector(), FasterRcnnImageProcessor(64, 96)
    first = FasterRcnnRegionExtractor(model, processor)
    before = first(noise(60, 80))[0]
    assert len(before) == 8
    second = FasterRcnnRegionExtractor(model, processor, max_boxes=2, dtype="bfloat16", object_names=OBJECTS)
    with pytest.raises(ValueError, match="min_boxes must be at least 1"):
        FasterRcnnRegionExtractor(model, processor, max_boxes=0)
    assert len(second(noise(60, 80))[0]) == 2
    np.testing.assert_array_equal(first(noise(60, 80))[0].features, before.features)
    assert (model.config.max_boxes, model.config.object_names, model.dtype) == (8, None, torch.float32)
    assert (second.model.dtype, first.object_names, second.object_names) == (torch.bfloat16, None, OBJECTS)
    shared = FasterRcnnRegionExtractor(model, processor, max_boxes=3)
    assert shared.model.backbone is model.backbone


def test_precision_is_the_checkpoints_unless_said(checkpoint: str, tmp_path: Path) -> None:
    assert FasterRcnnRegionExtractor(checkpoint).model.dtype == torch.float32
    half = FasterRcnnRegionExtractor(checkpoint, dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert half(noise(60, 80))[0].features.dtype == np.float32
    half.model.save_pretrained(tmp_path)
    half.image_processor.save_pretrained(tmp_path)
    assert FasterRcnnRegionExtractor(str(tmp_path)).model.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, got 'bf16'"):
        FasterRcnnRegionExtractor(checkpoint, dtype="bf16")  # type: ignore[arg-type]


def test_settings_hold_all_that_changes_regions(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "objects.txt").write_text("\n".join(OBJECTS))
    extractor = FasterRcnnRegionExtractor(
        checkpoint,
        selection="per_class",
        max_boxes=4,
        score_threshold=0.1,
        object_names=tmp_path / "objects.txt",
        attribute_names=ATTRIBUTES,
        dtype="bfloat16",
        batch_size=3,
    )
    assert extractor.settings() == {
        "model": checkpoint,
        "selection": "per_class",
        "max_boxes": 4,
        "score_threshold": 0.1,
        "object_names": list(OBJECTS),
        "attribute_names": list(ATTRIBUTES),
        "dtype": "bfloat16",
    }
    assert extractor.model.config.score_threshold == 0.1
    with_processor = FasterRcnnRegionExtractor(checkpoint, FasterRcnnImageProcessor(32, 64))
    with pytest.raises(ValueError, match="has no name"):
        with_processor.settings()


def test_the_revision_is_asked_for_and_kept(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for kind in (FasterRcnnImageProcessor, FasterRcnnForRegionFeatures):
        load = kind.from_pretrained

        def remember(name: Any, *arguments: Any, load: Any = load, **keywords: Any) -> Any:
            asked.append(keywords.pop("revision"))
            return load(name, *arguments, **keywords)

        monkeypatch.setattr(kind, "from_pretrained", remember)
    assert FasterRcnnRegionExtractor(checkpoint, revision="v1").settings()["revision"] == "v1"
    assert asked == ["v1", "v1"]


def test_incomplete_weights_are_refused(checkpoint: str, tmp_path: Path) -> None:
    model = small_detector()
    model.config.save_pretrained(tmp_path)
    FasterRcnnImageProcessor(32, 64).save_pretrained(tmp_path)
    weights = model.state_dict()
    del weights["roi_heads.box_predictor.cls_score.weight"]
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="lacks 1 weights of the detector.*such as roi_heads.box_predictor.cls_score"):
        FasterRcnnRegionExtractor(tmp_path)


def test_other_things_are_no_model() -> None:
    with pytest.raises(TypeError, match="model must be a FasterRcnnForRegionFeatures, its folder or its name, got Lin"):
        FasterRcnnRegionExtractor(torch.nn.Linear(1, 1), FasterRcnnImageProcessor(32, 64))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="image_processor must be a FasterRcnnImageProcessor, got dict"):
        FasterRcnnRegionExtractor(small_detector(), {"a": 1})  # type: ignore[arg-type]


def test_prepared_pictures_tell_their_size_and_the_model_moves(checkpoint: str) -> None:
    extractor = FasterRcnnRegionExtractor(checkpoint)
    assert extractor.prepared_size(extractor.prepare(noise(64, 80))) == (64, 80)
    assert extractor.extract([]) == []
    assert extractor.to("meta") is extractor
    assert extractor.model.device.type == "meta"
