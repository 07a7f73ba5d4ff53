from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from transformers import AutoModel

from lxmert import FasterRcnnForRegionFeatures
from lxmert.detection import FasterRcnnImageProcessor, FasterRcnnOutput
from lxmert.detection.boxes import overlap
from tests.detection.small_detector import noise, save_small_detector, small_config, small_detector

FIELDS = ("boxes", "features", "object_ids", "object_scores", "attribute_ids", "attribute_scores", "proposal_indices")
SIZES = [(70, 60), (48, 96), (70, 60), (90, 33)]


@pytest.fixture(scope="module")
def model() -> FasterRcnnForRegionFeatures:
    return small_detector()


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Four pictures of `SIZES` in one padded tensor, and each by itself."""
    processor = FasterRcnnImageProcessor(shorter_side=8, longer_side=16)
    alone = []
    for number, (height, width) in enumerate(SIZES):
        processor.shorter_side, processor.longer_side = min(height, width), max(height, width)
        alone.append(processor.prepare(noise(height, width, seed=number)))
    pixel_values = torch.zeros(len(SIZES), 3, 90, 96)
    for row, pixels in zip(pixel_values, alone, strict=True):
        row[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return pixel_values, alone


@torch.inference_mode()
def test_each_image_gets_what_it_gets_alone(
    model: FasterRcnnForRegionFeatures, batch: tuple[torch.Tensor, list[torch.Tensor]]
) -> None:
    pixel_values, alone = batch
    scales = [(2.0, 1.0), (1.0, 1.0), (0.5, 3.0), (1.0, 1.0)]
    together = model(pixel_values, SIZES, scales)
    chosen = set()
    for row, pixels in enumerate(alone):
        single = model(pixels[None], [SIZES[row]], [scales[row]])
        chosen.add(tuple(single.proposal_indices[0].tolist()))
        for name in (*FIELDS, "normalized_boxes"):
            torch.testing.assert_close(together[name][row], single[name][0], atol=1e-4, rtol=1e-5)
    assert len(chosen) == len(SIZES)  # the pictures do differ


@torch.inference_mode()
def test_what_is_given_fits_together(
    model: FasterRcnnForRegionFeatures, batch: tuple[torch.Tensor, list[torch.Tensor]]
) -> None:
    """Features, classes and attributes belong to the proposals that the indices name; boxes are scaled by y and x."""
    pixels, size = batch[1][0], SIZES[0]
    found = model(pixels[None], [size], torch.tensor([[2.0, 3.0]]))
    ((proposals, _),) = model.proposal_generator(model.backbone(pixels[None]), [size])
    (features,) = model.region_features(pixels[None], [proposals])
    chosen = found.proposal_indices[0]
    assert 6 <= len(chosen) <= 8
    torch.testing.assert_close(found.features[0], features[chosen], atol=1e-5, rtol=1e-5)
    object_logits, attribute_logits, _ = model.classify(features[chosen])
    scores, ids = object_logits.softmax(dim=-1)[:, :-1].max(dim=-1)
    assert torch.equal(found.object_ids[0], ids)
    torch.testing.assert_close(found.object_scores[0], scores, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.object_scores[0], found.object_scores[0].sort(descending=True).values)
    scores, ids = attribute_logits[:, :-1].softmax(dim=-1).max(dim=-1)
    assert torch.equal(found.attribute_ids[0], ids)
    torch.testing.assert_close(found.attribute_scores[0], scores, atol=1e-5, rtol=1e-4)
    height, width = size
    in_pixels = found.normalized_boxes[0] * torch.tensor([width, height, width, height])
    torch.testing.assert_close(found.boxes[0], in_pixels * torch.tensor([3.0, 2.0, 3.0, 2.0]))
    assert overlap(in_pixels, in_pixels).fill_diagonal_(0).max() <= 0.7 + 1e-6


@torch.inference_mode()
def test_features_of_given_boxes(
    model: FasterRcnnForRegionFeatures, batch: tuple[torch.Tensor, list[torch.Tensor]]
) -> None:
    pixel_values, alone = batch
    boxes = [torch.tensor([[0.0, 0, 30, 30], [5, 8, 20, 31]]), torch.zeros(0, 4), torch.tensor([[1.0, 1, 9, 9]])]
    boxes.append(torch.tensor([[0.0, 0, 33, 90]]))
    features = model.region_features(pixel_values, boxes, SIZES)
    assert [len(item) for item in features] == [2, 0, 1, 1]
    for row in (0, 2, 3):
        (expected,) = model.region_features(alone[row][None], [boxes[row]])
        torch.testing.assert_close(features[row], expected, atol=1e-5, rtol=1e-5)
    assert not torch.equal(features[0][0], features[0][1])


@torch.inference_mode()
@pytest.mark.parametrize("selection", ["raised_threshold", "per_class"])
@pytest.mark.parametrize("size", [(1, 1), (1, 96), (96, 1), (17, 16), (64, 64)])
def test_every_image_has_regions(selection: str, size: tuple[int, int]) -> None:
    model = small_detector(selection=selection)
    for value in (0.0, 130.0, -120.0):
        found = model(torch.full((1, 3, *size), value), [size])
        assert 1 <= len(found.boxes[0]) <= model.config.max_boxes
        assert torch.isfinite(found.features[0]).all()
        assert (found.normalized_boxes[0] >= 0).all()
        assert (found.normalized_boxes[0] <= 1).all()


@torch.inference_mode()
def test_padded_batching_lets_the_padding_leak(batch: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    """As the Hub's port does it, an image's result depends on its neighbours; kept to compare with it."""
    model = small_detector(batching="padded")
    together, alone = model(batch[0], SIZES), model(batch[1][0][None], SIZES[:1])
    assert not torch.equal(together.proposal_indices[0], alone.proposal_indices[0])


@torch.inference_mode()
def test_half_precision_stays_near(batch: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    boxes = [torch.tensor([[0.0, 0, 30, 30], [5, 8, 40, 60]])]
    (expected,) = small_detector().region_features(batch[1][0][None], boxes)
    model = small_detector().to(torch.bfloat16)
    (features,) = model.region_features(batch[1][0][None], boxes)
    assert features.dtype == torch.bfloat16
    torch.testing.assert_close(features.float(), expected, atol=0.05 * float(expected.abs().max()), rtol=0)
    found = model(batch[1][0][None], SIZES[:1])
    assert found.boxes[0].dtype == torch.float32


def test_bad_inputs_are_refused(model: FasterRcnnForRegionFeatures) -> None:
    pixels = torch.zeros(1, 3, 32, 48)
    for wrong, words in [
        ((torch.zeros(3, 32, 48), [(32, 48)]), r"pixel_values must be a tensor \(B, 3, H, W\), got \(3, 32, 48\)"),
        ((pixels, [(32, 48), (1, 1)]), "image_sizes has 2 rows for 1 images"),
        ((pixels, [(48, 32)]), r"image_sizes has 48 x 32 \(height x width\), but pixel_values are 32 x 48"),
        ((pixels * float("nan"), [(32, 48)]), "pixel_values holds NaN"),
        ((pixels.numpy(), [(32, 48)]), r"got \(1, 3, 32, 48\)"),
        ((pixels[:0], []), "pixel_values holds no image"),
        ((pixels, [32, 48]), r"image_sizes must be \(height, width\) for each image, got \[32, 48\]"),
        ((pixels, [(31.5, 48)]), "image_sizes must be whole numbers"),
        ((pixels, [(32, 48)], [1.0, 2.0]), r"scales_yx must be \(1, 2\)"),
        ((pixels, [(32, 48)], [[1.0, float("nan")]]), "scales_yx must be original size / size here"),
        ((pixels, [(32, 48)], torch.ones(1, 2, dtype=torch.bfloat16)), "scales_yx must be float32"),
    ]:
        with pytest.raises(ValueError, match=words):
            model(*wrong)
    with pytest.raises(ValueError, match="boxes holds 2 tensors for 1 images"):
        model.region_features(pixels, [torch.zeros(1, 4)] * 2)
    with pytest.raises(ValueError, match=r"boxes must be tensors \(R, 4\), got \(4,\) as number 0"):
        model.region_features(pixels, [torch.zeros(4)])
    for box, words in (
        ([float("nan"), 0, 9, 9], "boxes number 0 hold NaN"),
        ([9, 0, 3, 9], "must be x1, y1, x2, y2 with x1 <= x2"),
        ([0, 0, 0.5, 1], "must be in pixels, but all lie below 1"),
    ):
        with pytest.raises(ValueError, match=words):
            model.region_features(pixels, [torch.tensor([box])])


def outputs_of(model: FasterRcnnForRegionFeatures) -> FasterRcnnOutput:
    with torch.inference_mode():
        return model.eval()(torch.arange(3 * 48 * 64.0).view(1, 3, 48, 64) % 97, [(48, 64)])


def test_saving_and_loading(tmp_path: Path, model: FasterRcnnForRegionFeatures) -> None:
    model.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict())
    for loaded in (FasterRcnnForRegionFeatures.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert isinstance(loaded, FasterRcnnForRegionFeatures)
        assert torch.equal(outputs_of(loaded).features[0], outputs_of(model).features[0])


def save_as_on_the_hub(folder: Path, model: FasterRcnnForRegionFeatures) -> None:
    """config.yaml and pytorch_model.bin, no more."""
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    config = model.config
    original = {
        "min_detections": config.min_boxes,
        "max_detections": config.max_boxes,
        "resnets": {
            "stem_out_channels": config.embedding_size,
            "res2_out_channels": config.hidden_sizes[0],
            "depth": 50,
        },
        "anchor_generator": {"sizes": [list(config.anchor_sizes)], "aspect_ratios": [list(config.anchor_ratios)]},
        "proposal_generator": {"hidden_channels": config.rpn_hidden_size},
        "rpn": {"pre_nms_topk_test": config.rpn_candidates, "post_nms_topk_test": config.rpn_proposals},
        "roi_heads": {"num_classes": config.num_objects},
        "roi_box_head": {"num_attrs": config.num_attributes, "pooler_resolution": config.roi_pool_size},
        "input": {"format": "BGR", "min_size_test": 64, "max_size_test": 96},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(original))


def test_the_layout_of_the_hub_loads_and_is_saved_as_ours(tmp_path: Path) -> None:
    hub, ours = tmp_path / "hub", tmp_path / "ours"
    hub.mkdir()
    sizes = {"hidden_sizes": [16, 32, 64, 128], "depths": [3, 4, 6, 3], "class_embedding_size": 256}
    model = small_detector(**sizes, attribute_hidden_size=512)
    save_as_on_the_hub(hub, model)
    loaded, report = FasterRcnnForRegionFeatures.from_pretrained(hub, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(outputs_of(loaded).features[0], outputs_of(model).features[0])
    assert FasterRcnnImageProcessor.from_pretrained(hub).longer_side == 96

    loaded.save_pretrained(ours)
    assert {file.name for file in ours.iterdir()} == {"config.json", "model.safetensors"}
    again = FasterRcnnForRegionFeatures.from_pretrained(ours)
    assert torch.equal(outputs_of(again).features[0], outputs_of(model).features[0])


def test_a_repository_of_the_hub_loads_by_name(tmp_path: Path) -> None:
    """From the Hub's cache, as it lies after a download."""
    commit = "a" * 40
    repository = tmp_path / "models--somebody--detector"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    sizes = {"hidden_sizes": [16, 32, 64, 128], "depths": [3, 4, 6, 3], "class_embedding_size": 256}
    model = small_detector(**sizes, attribute_hidden_size=512)
    save_as_on_the_hub(snapshot, model)
    loaded = FasterRcnnForRegionFeatures.from_pretrained("somebody/detector", cache_dir=tmp_path)
    assert torch.equal(outputs_of(loaded).features[0], outputs_of(model).features[0])
    assert loaded.name_or_path == "somebody/detector"
    assert FasterRcnnImageProcessor.from_pretrained("somebody/detector", cache_dir=tmp_path).longer_side == 96


def test_a_checkpoint_runs_no_code(tmp_path: Path, model: FasterRcnnForRegionFeatures) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "touched",)

    model.config.save_pretrained(tmp_path)
    torch.save({**model.state_dict(), "harm": Harm()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds Python objects, whose loading could run any code"):
        FasterRcnnForRegionFeatures.from_pretrained(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_anchors_missing_from_a_file_are_computed(tmp_path: Path, model: FasterRcnnForRegionFeatures) -> None:
    model.config.save_pretrained(tmp_path)
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    torch.save({key: value for key, value in model.state_dict().items() if key != name}, tmp_path / "pytorch_model.bin")
    loaded = FasterRcnnForRegionFeatures.from_pretrained(tmp_path)
    assert torch.equal(loaded.state_dict()[name], model.state_dict()[name])


def test_new_weights_are_initial_ones() -> None:
    torch.manual_seed(0)
    weights = FasterRcnnForRegionFeatures(small_config(num_objects=400, object_names=None)).state_dict()
    assert weights["roi_heads.box_predictor.cls_score.weight"].std() == pytest.approx(0.01, rel=0.05)
    assert weights["roi_heads.box_predictor.cls_score.bias"].abs().max() == 0
    for name, value in (("running_var", 1), ("running_mean", 0), ("weight", 1), ("bias", 0)):
        assert weights[f"backbone.stem.conv1.norm.{name}"].tolist() == [value] * 8
    fan_out = 8 * 7 * 7
    assert weights["backbone.stem.conv1.weight"].std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_the_saved_pair_is_complete(tmp_path: Path) -> None:
    folder = save_small_detector(tmp_path)
    assert FasterRcnnImageProcessor.from_pretrained(folder).shorter_side == 64


def test_the_class_of_an_attribute_may_be_background() -> None:
    """Attributes are predicted from the best class with background counted, through a rectifier."""
    model = small_detector()
    predictor = model.roi_heads.box_predictor
    with torch.no_grad():
        predictor.cls_score.weight.zero_()
        predictor.cls_score.bias.zero_()
        predictor.cls_score.bias[-1] = 5.0  # always background, then class 2
        predictor.cls_score.bias[2] = 1.0
    features = torch.randn(4, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        _, logits, _ = model.classify(features)
        hidden = predictor.fc_attr(torch.cat([features, predictor.cls_embedding.weight[-1:].expand(4, -1)], dim=1))
        expected = hidden.clamp(min=0) @ predictor.attr_score.weight.T + predictor.attr_score.bias
        torch.testing.assert_close(logits, expected)
        found = model(torch.arange(3 * 48 * 64.0).view(1, 3, 48, 64) % 97, [(48, 64)])
        scores, ids = (
            predictor.attribute_logits(
                found.features[0], torch.full((len(found.features[0]),), model.config.num_objects)
            )[:, :-1]
            .softmax(dim=-1)
            .max(dim=-1)
        )
    assert found.object_ids[0].unique().tolist() == [2]
    assert torch.equal(found.attribute_ids[0], ids)
    torch.testing.assert_close(found.attribute_scores[0], scores)


def test_limits_of_the_proposals_are_kept(batch: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    pixels = batch[1][0][None]
    with torch.inference_mode():
        for overrides in ({"rpn_candidates": 5}, {"rpn_proposals": 3}):
            model = small_detector(min_boxes=1, **overrides)
            ((boxes, _),) = model.proposal_generator(model.backbone(pixels), SIZES[:1])
            assert len(boxes) <= next(iter(overrides.values()))
        loose, strict = (small_detector(rpn_nms_threshold=threshold) for threshold in (0.9, 0.3))
        counts = [len(model.proposal_generator(model.backbone(pixels), SIZES[:1])[0][0]) for model in (loose, strict)]
    assert counts[0] > counts[1]


def test_parts_of_regions_join(monkeypatch: pytest.MonkeyPatch, model: FasterRcnnForRegionFeatures) -> None:
    boxes = [torch.tensor([[0.0, 0, 10 + i, 20 + i] for i in range(11)])]
    pixels = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 50
    with torch.inference_mode():
        (whole,) = model.region_features(pixels, boxes)
        monkeypatch.setattr("lxmert.detection.faster_rcnn.REGIONS_AT_ONCE_ON_CPU", 4)
        (parts,) = model.region_features(pixels, boxes)
    assert len(whole) == 11
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)
