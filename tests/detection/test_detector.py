import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import nn
from transformers import AutoModelForObjectDetection, DetrImageProcessorPil, RTDetrImageProcessorPil

from lxmert import LxmertForQuestionAnswering, LxmertProcessor, Regions
from lxmert.detection.detector import DetectorRegionExtractor
from lxmert.processing.region_extractor import RegionExtractor

CLASSES = 5
QUERIES = 20
STAGES = {"embedding_size": 4, "hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 1, 1], "layer_type": "basic"}
LAYERS = {"decoder_layers": 2, "decoder_ffn_dim": 16, "num_queries": QUERIES, "num_labels": CLASSES}
HEADS = {"encoder_layers": 1, "encoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
DEFORMABLE = LAYERS | HEADS | {"d_model": 32, "num_feature_levels": 2, "encoder_n_points": 2, "decoder_n_points": 2}
HYBRID = {
    "d_model": 16,
    "encoder_hidden_dim": 16,
    "decoder_in_channels": [16, 16, 16],
    "decoder_n_points": 2,
    "num_denoising": 0,
}
WINDOWS = {"d_model": 16, "decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2, "group_detr": 1}
WINDOWS |= {"decoder_n_points": 2, "c2f_num_blocks": 1}
VISION = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16}


def resnet(*stages: str) -> Any:
    return transformers.ResNetConfig(**STAGES, out_features=list(stages))


def rt_resnet() -> Any:
    return transformers.RTDetrResNetConfig(**STAGES, out_features=["stage2", "stage3", "stage4"])


def hgnet() -> Any:
    sizes = {"stem_channels": [3, 4, 4], "stage_in_channels": [4, 4, 6, 8], "stage_mid_channels": [4, 4, 4, 4]}
    counts = {"stage_num_blocks": [1, 1, 1, 1], "stage_numb_of_layers": [1, 1, 1, 1]}
    widths = {"stage_out_channels": [4, 6, 8, 10], "hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 1, 1]}
    return transformers.HGNetV2Config(**sizes, **counts, **widths, out_features=["stage2", "stage3", "stage4"])


def hybrid(config_class: Any, backbone: Any, **more: Any) -> Any:
    channels = {"encoder_in_channels": [6, 8, 10]}
    return config_class(backbone_config=backbone, **LAYERS, **HEADS, **HYBRID, **channels, **more)


def deformable(**more: Any) -> Any:
    return transformers.DeformableDetrConfig(backbone_config=resnet("stage3", "stage4"), **DEFORMABLE, **more)


def lw_detr() -> Any:
    backbone = transformers.LwDetrViTConfig(
        **VISION, mlp_ratio=1, image_size=64, pretrain_image_size=64, num_windows=4, out_indices=[1, 2]
    )
    return transformers.LwDetrConfig(backbone_config=backbone, projector_scale_factors=[2.0], **LAYERS, **WINDOWS)


def rf_detr() -> Any:
    backbone = transformers.RfDetrDinov2Config(
        **VISION, mlp_ratio=1, image_size=64, num_windows=2, window_block_indices=[0], out_indices=[1, 2]
    )
    return transformers.RfDetrConfig(backbone_config=backbone, intermediate_size=16, **LAYERS, **WINDOWS)


def yolos() -> Any:
    sizes = {"intermediate_size": 16, "image_size": [64, 64]}
    return transformers.YolosConfig(**VISION, **sizes, num_detection_tokens=QUERIES, num_labels=CLASSES)


def single(config_class: Any, **more: Any) -> Any:
    return config_class(backbone_config=resnet("stage4"), **LAYERS, **HEADS, **more)


def last_of_decoder(model: Any) -> nn.Module:
    return model.model.decoder.class_embed[-1]


# A configuration, and where transformers keeps the head that scores classes.
DETECTORS: dict[str, tuple[Callable[[], Any], Callable[[Any], nn.Module]]] = {
    "detr": (lambda: single(transformers.DetrConfig, d_model=16), lambda model: model.class_labels_classifier),
    "conditional_detr": (
        lambda: single(transformers.ConditionalDetrConfig, d_model=16),
        lambda model: model.class_labels_classifier,
    ),
    "table_transformer": (
        lambda: single(transformers.TableTransformerConfig, d_model=16),
        lambda model: model.class_labels_classifier,
    ),
    "dab_detr": (lambda: single(transformers.DabDetrConfig, hidden_size=16), lambda model: model.class_embed),
    "deformable_detr": (deformable, lambda model: model.class_embed[-1]),
    "deformable_detr, boxes refined": (lambda: deformable(with_box_refine=True), lambda model: model.class_embed[-1]),
    "deformable_detr, two stages": (
        lambda: deformable(with_box_refine=True, two_stage=True, two_stage_num_proposals=QUERIES),
        lambda model: model.class_embed[-2],
    ),
    "rt_detr": (lambda: hybrid(transformers.RTDetrConfig, rt_resnet()), last_of_decoder),
    "rt_detr_v2": (lambda: hybrid(transformers.RTDetrV2Config, rt_resnet()), last_of_decoder),
    "d_fine": (lambda: hybrid(transformers.DFineConfig, hgnet(), max_num_bins=4, lqe_hidden_dim=8), last_of_decoder),
    "deimv2": (lambda: hybrid(transformers.Deimv2Config, hgnet(), max_num_bins=4, lqe_hidden_dim=8), last_of_decoder),
    "lw_detr": (lw_detr, lambda model: model.class_embed),
    "rf_detr": (rf_detr, lambda model: model.class_embed),
    "yolos": (yolos, lambda model: model.class_labels_classifier),
}
WITHOUT_OBJECT = ("detr", "table_transformer", "yolos")  # their last score is that of "no object"


def make(name: str) -> Any:
    """A small detector whose queries differ."""
    torch.manual_seed(0)
    model = AutoModelForObjectDetection.from_config(DETECTORS[name][0]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim in (2, 3):  # not convolutions, norms and biases
                parameter.normal_(std=0.4)
    return model


def image_processor(**settings: Any) -> Any:
    return DetrImageProcessorPil(**({"size": {"shortest_edge": 96, "longest_edge": 192}} | settings))


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.mark.parametrize("name", DETECTORS)
def test_features_are_what_the_class_head_reads_and_boxes_those_of_transformers(name: str) -> None:
    model, square = make(name), RTDetrImageProcessorPil(size={"height": 128, "width": 128})
    picture = pictures((90, 60))[0]
    extractor = DetectorRegionExtractor(model, square, threshold=0.0, minimum_regions=1, maximum_regions=7)
    regions = extractor(picture)[0]
    assert regions.image_size == (60, 90)
    assert regions.features.shape == (7, extractor.feature_dim)
    assert np.ptp(regions.features, axis=0).max() > 0.01  # queries differ
    assert np.all(np.diff(regions.object_scores) <= 0)

    with torch.no_grad():
        outputs = model(**square(images=picture, return_tensors="pt"))
        scored = DETECTORS[name][1](model)(torch.from_numpy(regions.features))
    classes = outputs.logits[0]
    probabilities = classes.softmax(-1)[:, :-1] if name in WITHOUT_OBJECT else classes.sigmoid()
    best, labels = probabilities.max(dim=1)
    order = best.argsort(descending=True, stable=True)[:7]
    assert best.max() - best.min() > 0.001
    np.testing.assert_allclose(regions.object_scores, best[order], atol=1e-6)
    assert regions.object_ids.tolist() == labels[order].tolist()
    added = classes[order] - scored  # D-FINE and DEIMv2 add one number to all classes of a query
    np.testing.assert_allclose(added, added[:, :1].expand_as(added) * (name in ("d_fine", "deimv2")), atol=1e-5)

    with_boxes = image_processor() if name in WITHOUT_OBJECT else square
    found = with_boxes.post_process_object_detection(outputs, threshold=-1.0, target_sizes=[(60, 90)])[0]
    for row, score in enumerate(regions.object_scores):
        match = int((found["scores"] - score).abs().argmin())
        expected = found["boxes"][match].clamp(min=0).minimum(torch.tensor([90.0, 60, 90, 60]))
        np.testing.assert_allclose(regions.boxes[row], expected, atol=1e-3)


def table(regions: Regions) -> np.ndarray:
    """All about regions as rows, (R, D + 6)."""
    assert regions.object_ids is not None
    assert regions.object_scores is not None
    labels = np.stack([regions.object_ids, regions.object_scores], axis=1)
    return np.concatenate([regions.features, regions.normalized_boxes, labels], axis=1)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_image_gets_alone_what_it_gets_in_a_batch(name: str) -> None:
    # in double precision, as random weights amplify rounding; transformers' DAB-DETR is single precision only
    model = make(name) if name == "dab_detr" else make(name).double()
    extractor = DetectorRegionExtractor(model, image_processor(), threshold=0.0)
    images = pictures((90, 60), (60, 90), (90, 60), (64, 64), (300, 40), (90, 60), (3000, 1), (1, 3000))
    for image, regions in zip(images, extractor(images), strict=True):
        alone = extractor(image)[0]
        assert len(regions) == len(alone) == QUERIES
        assert regions.image_size == (image.height, image.width)
        # rows side by side whatever their order: scores of small random networks lie closer together than rounding
        distance = np.abs(table(regions)[:, None] - table(alone)[None]).max(axis=2)
        assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-4


@pytest.mark.parametrize("name", DETECTORS)
def test_any_image_has_regions(name: str) -> None:
    extractor = DetectorRegionExtractor(make(name), image_processor(), 0.6, minimum_regions=2, maximum_regions=3)
    images = [Image.new("RGB", size, "grey") for size in [(1, 1), (3000, 1), (1, 3000), (2, 1), (90, 60)]]
    for image, regions in zip(images, extractor(images), strict=True):
        assert 2 <= len(regions) <= 3
        assert regions.image_size == (image.height, image.width)


class WhiteFinder(nn.Module):
    """A detector with three queries that finds what is white: query q reports it with score and class as told."""

    def __init__(self, logits: list[list[float]], labels: int, collapsed: bool = False):
        super().__init__()
        self.config = SimpleNamespace(num_labels=labels, id2label={i: f"LABEL_{i}" for i in range(labels)})
        self.class_embed = nn.Linear(len(logits), len(logits[0]), bias=False)
        self.class_embed.weight.data = torch.tensor(logits).T.contiguous()
        self.collapsed = collapsed
        self.sizes: list[tuple[int, ...]] = []

    device, dtype = torch.device("cpu"), torch.float32

    def forward(self, pixel_values: torch.Tensor, return_dict: bool) -> Any:
        self.sizes.append(tuple(pixel_values.shape))
        queries = self.class_embed.in_features
        boxes = []
        for picture in pixel_values.mean(dim=1):
            (y1, x1), (y2, x2) = (f((picture > 0).nonzero(), dim=0)[0] for f in (torch.min, torch.max))
            height, width = picture.shape
            x1, x2, y1, y2 = x1 / width, (x2 + 1) / width, y1 / height, (y2 + 1) / height
            boxes.append(torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]))
        states = torch.eye(queries).expand(len(pixel_values), -1, -1)
        pred_boxes = torch.stack(boxes)[:, None].expand(-1, queries, -1) * (not self.collapsed)
        return SimpleNamespace(logits=self.class_embed(states), pred_boxes=pred_boxes)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 320, "width": 320}},
        {"size": {"shortest_edge": 160, "longest_edge": 640}},
        {"size": {"max_height": 320, "max_width": 320}, "pad_size": {"height": 320, "width": 320}},
        {"do_resize": False, "do_pad": True, "pad_size": {"height": 4000, "width": 4000}},
    ],
)
@pytest.mark.parametrize("size", [(200, 160), (160, 200), (800, 8)])
def test_boxes_are_pixels_of_the_original_picture(settings: dict[str, Any], size: tuple[int, int]) -> None:
    width, height = size
    box = [width // 4, height // 4, width // 2, height]
    picture = Image.new("RGB", size)
    picture.paste("white", tuple(box))
    detector = WhiteFinder([[1.0], [0.0], [2.0]], labels=1)
    extractor = DetectorRegionExtractor(detector, image_processor(**settings))
    regions = extractor([Image.new("RGB", (9, 9), "white"), picture])
    assert regions[0].boxes.tolist() == [[0, 0, 9, 9]] * 3
    np.testing.assert_allclose(regions[1].normalized_boxes * 100, [np.array(box) / [*size, *size] * 100] * 3, atol=2)


def test_a_query_counts_once_with_its_best_class_and_ties_keep_their_order() -> None:
    logits = [[2.0, 3.0], [-9.0, -1.0], [1.0, -9.0], [1.0, -9.0], [-2.0, -3.0]]
    image = Image.new("RGB", (40, 40), "white")

    def queries(**settings: Any) -> list[int]:
        regions = DetectorRegionExtractor(WhiteFinder(logits, 2), image_processor(), **settings)(image)[0]
        return regions.features.argmax(axis=1).tolist()

    assert queries(threshold=0.7, minimum_regions=1) == [0, 2, 3]
    assert queries(threshold=0.7, minimum_regions=1, maximum_regions=2) == [0, 2]
    assert queries(threshold=1.0, minimum_regions=1) == [0]
    assert queries(threshold=1.0, minimum_regions=4) == [0, 2, 3, 1]
    assert queries(threshold=0.0, minimum_regions=9) == [0, 2, 3, 1, 4]
    tied = DetectorRegionExtractor(WhiteFinder([[0.0]] * 40, 1), image_processor(), threshold=0.5)(image)[0]
    assert tied.features.argmax(axis=1).tolist() == list(range(36))
    regions = DetectorRegionExtractor(WhiteFinder(logits, 2), image_processor())(image)[0]
    assert regions.object_ids.tolist() == [1, 0, 0, 1, 0]
    np.testing.assert_allclose(regions.object_scores, 1 / (1 + np.exp([-3, -1, -1, 1, 2])), atol=1e-6)
    # one score more than labels: "no object", by a softmax
    regions = DetectorRegionExtractor(WhiteFinder([[0.0, 1.0], [0.0, -1.0]], 1), image_processor())(image)[0]
    assert regions.object_ids.tolist() == [0, 0]
    np.testing.assert_allclose(regions.object_scores, [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], atol=1e-6)


def test_boxes_in_the_first_pixel_are_no_error() -> None:
    detector = WhiteFinder([[1.0], [0.0]], labels=1, collapsed=True)
    regions = DetectorRegionExtractor(detector, image_processor())(Image.new("RGB", (40, 30), "white"))[0]
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [0, 0, 0, 0]]


def test_pictures_of_one_size_go_through_the_network_together() -> None:
    detector = WhiteFinder([[1.0]], labels=1)
    white = [Image.new("RGB", size, "white") for size in [(64, 32), (32, 32), (128, 64), (8, 8)]]
    extractor = DetectorRegionExtractor(detector, image_processor(size={"shortest_edge": 64, "longest_edge": 128}))
    assert [item.image_size for item in extractor(white)] == [(32, 64), (32, 32), (64, 128), (8, 8)]
    assert detector.sizes == [(2, 3, 64, 128), (2, 3, 64, 64)]


def test_sides_are_rounded_up_where_the_network_needs_it() -> None:
    picture = pictures((90, 61))[0]
    processor = image_processor(size={"shortest_edge": 65, "longest_edge": 999})
    for name, multiple in (("detr", 1), ("rt_detr", 32), ("lw_detr", 32)):
        extractor = DetectorRegionExtractor(make(name), processor)
        height, width = extractor.prepared_size(extractor.prepare(picture))
        assert (height, width) == ((65, 95) if multiple == 1 else (96, 96))


def test_half_precision_gives_float32_regions() -> None:
    picture = pictures((90, 60))[0]
    for name in ("detr", "rt_detr_v2", "d_fine", "yolos"):
        full = DetectorRegionExtractor(make(name), image_processor(), threshold=0.0)(picture)[0]
        half = DetectorRegionExtractor(make(name).bfloat16(), image_processor(), threshold=0.0)(picture)[0]
        assert half.features.dtype == half.boxes.dtype == half.object_scores.dtype == np.float32
        assert abs(half.object_scores[0] - full.object_scores[0]) < 0.05


def test_a_detector_is_found_again_by_its_folder(tmp_path: Path) -> None:
    model = make("detr")
    model.config.id2label = dict(enumerate(["cat", "dog", "hat", "N/A", "red car"]))
    model.save_pretrained(tmp_path)
    image_processor().save_pretrained(tmp_path)
    picture = pictures((90, 60))[0]
    expected = DetectorRegionExtractor(model, image_processor(), 0.4, 3, 5)(picture)[0]
    extractor = DetectorRegionExtractor(str(tmp_path), threshold=0.4, minimum_regions=3, maximum_regions=5)
    assert extractor.object_names == ("cat", "dog", "hat", "N/A", "red car")
    settings = {"threshold": 0.4, "minimum_regions": 3, "maximum_regions": 5}
    assert extractor.settings() == {"model": str(tmp_path)} | settings
    again = RegionExtractor.from_dict(json.loads(json.dumps(extractor.to_dict())))
    for one in (extractor, again):
        regions = one(picture)[0]
        assert np.array_equal(regions.features, expected.features)
        assert np.array_equal(regions.boxes, expected.boxes)
        assert regions.object_names is one.object_names
    assert regions.describe(0).startswith(extractor.object_names[regions.object_ids[0]])
    revised = DetectorRegionExtractor(tmp_path, revision="no_timm").settings()
    assert (revised["model"], revised["revision"]) == (str(tmp_path), "no_timm")
    unnamed = DetectorRegionExtractor(model, image_processor())
    with pytest.raises(ValueError, match="given as an object and has no name: save both into one folder"):
        unnamed.to_dict()
    assert "..." in repr(unnamed)


def test_from_picture_files_to_answers_through_a_saved_processor(
    tmp_path: Path, processor: LxmertProcessor, small_config: Callable[..., Any]
) -> None:
    make("rt_detr").save_pretrained(tmp_path / "detector")
    RTDetrImageProcessorPil(size={"height": 128, "width": 128}).save_pretrained(tmp_path / "detector")
    extractor = DetectorRegionExtractor(str(tmp_path / "detector"))
    assert extractor.object_names is None
    LxmertProcessor(processor.tokenizer, extractor).save_pretrained(tmp_path / "processor")
    loaded = LxmertProcessor.from_pretrained(tmp_path / "processor")
    images = []
    for i, picture in enumerate(pictures((90, 60), (30, 50))):
        picture.save(tmp_path / f"{i}.png")
        images.append(tmp_path / f"{i}.png")
    batch = loaded(text=["what color is the shape?", "is there no red shape?"], images=images)
    expected = extractor(images[1])[0]
    np.testing.assert_allclose(batch["visual_feats"][1, : len(expected)], expected.features, atol=1e-4)
    np.testing.assert_allclose(batch["visual_pos"][1, : len(expected)], expected.normalized_boxes, atol=1e-4)
    model = LxmertForQuestionAnswering(small_config(visual_feat_dim=extractor.feature_dim)).eval()
    assert model(**batch).logits.shape == (2, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minimum_regions": 0}, "minimum_regions must be a whole number of at least 1, got 0"),
        ({"maximum_regions": 2.5}, "maximum_regions must be a whole number of at least 1, got 2.5"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"maximum_regions": 5}, "minimum_regions must not exceed maximum_regions, got 10 and 5"),
        ({"threshold": 1.5}, r"threshold must be a probability in \[0, 1\], got 1.5"),
        ({"image_processor": None}, "model needs its image_processor"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectorRegionExtractor(WhiteFinder([[1.0]], 1), **({"image_processor": image_processor()} | settings))


def test_models_that_are_no_detectors_with_queries_are_refused() -> None:
    with pytest.raises(TypeError, match="model must be a detector of transformers, its name or its folder, got 3"):
        DetectorRegionExtractor(3)
    with pytest.raises(ValueError, match="Linear has no class head called class_embed or class_labels_classifier"):
        DetectorRegionExtractor(nn.Linear(2, 2), image_processor())
    detector = WhiteFinder([[1.0, 0.0]], labels=4)
    with pytest.raises(ValueError, match="The model has 2 class scores, its configuration 4 labels"):
        DetectorRegionExtractor(detector, image_processor())(Image.new("RGB", (9, 9), "white"))


def test_features_belong_to_queries_that_the_model_sorts() -> None:
    class Sorted(WhiteFinder):
        def forward(self, pixel_values: torch.Tensor, return_dict: bool) -> Any:
            outputs = super().forward(pixel_values, return_dict)
            return SimpleNamespace(logits=outputs.logits[:, [2, 0, 1]], pred_boxes=outputs.pred_boxes)

    detector = Sorted([[1.0, 0.0], [2.0, 4.0], [3.0, 0.0]], labels=2)
    regions = DetectorRegionExtractor(detector, image_processor())(Image.new("L", (9, 9), 255))[0]
    assert regions.features.argmax(axis=1).tolist() == [1, 2, 0]
    np.testing.assert_allclose(regions.object_scores, 1 / (1 + np.exp([-4, -3, -1])), atol=1e-6)


def test_scores_that_are_not_the_class_heads_are_refused() -> None:
    class Stranger(WhiteFinder):
        def forward(self, pixel_values: torch.Tensor, return_dict: bool) -> Any:
            outputs = super().forward(pixel_values, return_dict)
            return SimpleNamespace(logits=2 * outputs.logits, pred_boxes=outputs.pred_boxes)

    with pytest.raises(ValueError, match="Stranger does not give a box and its class head's scores for each query"):
        DetectorRegionExtractor(Stranger([[1.0, 0.0], [2.0, 4.0]], 2), image_processor())(Image.new("L", (9, 9), 255))


def test_a_network_that_gives_nan_is_named() -> None:
    extractor = DetectorRegionExtractor(WhiteFinder([[float("nan"), 0.0]], labels=2), image_processor())
    with pytest.raises(ValueError, match="object_scores holds NaN or infinite values"):
        extractor(Image.new("L", (9, 9), 255))


def test_a_missing_image_processor_is_named(tmp_path: Path) -> None:
    make("detr").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="No image processor can be loaded for .*: pass image_processor=..., or save"):
        DetectorRegionExtractor(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "RfDetrImageProcessor"}))
    if not transformers.utils.is_torchvision_available():
        with pytest.raises(ValueError, match="if it is one that needs torchvision, install that"):
            DetectorRegionExtractor(str(tmp_path))
