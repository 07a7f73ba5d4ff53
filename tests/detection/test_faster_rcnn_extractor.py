from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import FasterRcnnRegionExtractor, LxmertProcessor
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
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        FasterRcnnRegionExtractor(small_detector(), FasterRcnnImageProcessor(32, 64), batch_size=0)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (40, 40)])
def test_odd_pictures_have_regions(checkpoint: str, size: tuple[int, int]) -> None:
    (regions,) = FasterRcnnRegionExtractor(checkpoint)(Image.new("RGB", size, "gray"))
    assert 1 <= len(regions) <= 8
    assert regions.image_size == size[::-1]
