from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BitImageProcessorPil,
    ConvNextImageProcessorPil,
    Dinov2Backbone,
    Dinov2Config,
    ResNetBackbone,
    ResNetConfig,
)

from lxmert import GridRegionExtractor


def test_cells_row_by_row_then_the_whole_image() -> None:
    image = Image.new("RGB", (20, 10))
    image.paste((255, 255, 255), (10, 0, 20, 5))  # the upper right cell
    regions = GridRegionExtractor(rows=2, columns=2, crop_size=2)(image)[0]
    assert regions.boxes.tolist() == [[0, 0, 10, 5], [10, 0, 20, 5], [0, 5, 10, 10], [10, 5, 20, 10], [0, 0, 20, 10]]
    assert [set(row) for row in regions.features[:4].tolist()] == [{-2.0}, {2.0}, {-2.0}, {-2.0}]
    assert regions.features.shape == (5, 12)


def test_images_smaller_than_the_grid() -> None:
    regions = GridRegionExtractor(rows=3, columns=3)(Image.new("RGB", (2, 1), "red"))[0]
    assert len(regions) == 10
    assert set(regions.features.round(4).ravel()) == {-2.0, 2.0}


def resnet() -> ResNetBackbone:
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    return ResNetBackbone(config).eval()


def image_processor() -> ConvNextImageProcessorPil:
    return ConvNextImageProcessorPil(size={"shortest_edge": 384}, do_resize=False)


def test_backbone_features_are_means_over_cells() -> None:
    backbone, processor = resnet(), image_processor()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 64, 3), dtype=np.uint8))
    extractor = GridRegionExtractor(rows=2, columns=4, backbone=backbone, image_processor=processor)
    regions = extractor(image)[0]
    with torch.no_grad():
        feature_map = backbone(**processor(images=image, return_tensors="pt")).feature_maps[-1][0]  # (6, 4, 8)
    assert feature_map.shape == (6, 4, 8)
    assert regions.features.shape == (9, extractor.feature_dim) == (9, 6)
    np.testing.assert_allclose(regions.features[6], feature_map[:, 2:, 4:6].mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(regions.features[8], feature_map.mean((1, 2)), atol=1e-6)
    assert regions.boxes[6].tolist() == [32, 16, 48, 32]


def test_a_transformer_as_backbone() -> None:
    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        out_features=["stage1"],
        reshape_hidden_states=True,
    )
    extractor = GridRegionExtractor(2, 2, backbone=Dinov2Backbone(config), image_processor=image_processor())
    assert extractor(Image.new("RGB", (28, 28)))[0].features.shape == (5, 16)


def test_a_backbone_is_found_again_by_its_folder(tmp_path: Path) -> None:
    resnet().save_pretrained(tmp_path)
    image_processor().save_pretrained(tmp_path)
    extractor = GridRegionExtractor(rows=2, columns=2, backbone=str(tmp_path))
    again = GridRegionExtractor.from_dict(extractor.to_dict())
    image = Image.new("RGB", (32, 32), "red")
    assert np.array_equal(again(image)[0].features, extractor(image)[0].features)
    unnamed = GridRegionExtractor(backbone=resnet(), image_processor=image_processor())
    with pytest.raises(ValueError, match="given as an object and has no name"):
        unnamed.to_dict()


def test_cells_lie_where_their_boxes_say_whatever_the_image_processor_crops() -> None:
    processor = BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    extractor = GridRegionExtractor(rows=1, columns=4, backbone=resnet(), image_processor=processor)
    image = Image.new("RGB", (240, 60))
    before = extractor(image)[0].features
    image.paste("white", (0, 0, 20, 60))  # inside the first cell
    changed = np.abs(extractor(image)[0].features - before).max(axis=1)
    assert changed[0] > 10 * changed[2:4].max()
    assert "..." in repr(extractor)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rows must be a whole number of at least 1, got 0"):
        GridRegionExtractor(rows=0)
    with pytest.raises(ValueError, match="backbone needs its image_processor"):
        GridRegionExtractor(backbone=resnet())
