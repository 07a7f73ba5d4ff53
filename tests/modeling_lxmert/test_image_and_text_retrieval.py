"""Matching without training, and the scores of all pairs of texts and images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForZeroShotImageClassification

from lxmert import LxmertConfig, LxmertForImageAndTextRetrieval, LxmertForPreTraining, LxmertForQuestionAnswering
from lxmert.modeling_lxmert.attention import AttentionMasks
from tests.conftest import SMALL, make_batch, make_masks

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def model(small_config: Callable[..., LxmertConfig]) -> LxmertForImageAndTextRetrieval:
    torch.manual_seed(0)
    model = LxmertForImageAndTextRetrieval(small_config()).eval()
    torch.nn.init.normal_(model.cls.seq_relationship.weight)
    return model


def texts_and_images(texts: int = 7, images: int = 5) -> tuple[Tensors, Tensors]:
    """Texts of 3 to 9 words and images of 1 to 5 regions, padded, one of each with a hole."""
    inputs = make_batch(batch=max(texts, images))
    words, regions = torch.ones(texts, 9, dtype=torch.long), torch.ones(images, 5, dtype=torch.long)
    for i in range(texts):
        words[i, 3 + (5 * i) % 7 :] = 0
    for i in range(images):
        regions[i, 1 + (3 * i) % 5 :] = 0
    words[0, 1] = 0
    types = torch.arange(9).expand(texts, 9) // 5
    return (
        {"input_ids": inputs["input_ids"][:texts], "attention_mask": words, "token_type_ids": types},
        {
            "visual_feats": inputs["visual_feats"][:images],
            "visual_pos": inputs["visual_pos"][:images],
            "visual_attention_mask": regions,
        },
    )


def pair_by_pair(model: LxmertForImageAndTextRetrieval, texts: Tensors, images: Tensors) -> torch.Tensor:
    rows = [
        torch.cat(
            [
                model(
                    **{name: tensor[c : c + 1] for name, tensor in texts.items()},
                    **{name: tensor[i : i + 1] for name, tensor in images.items()},
                ).logits
                for i in range(len(images["visual_feats"]))
            ]
        )
        for c in range(len(next(iter(texts.values()))))
    ]
    return torch.stack(rows)


@contextmanager
def counted_rows(module: torch.nn.Module) -> Iterator[list[int]]:
    """How many items each call of the module had, padded or packed."""
    rows: list[int] = []

    def count(_: torch.nn.Module, arguments: tuple, __: object) -> None:
        packing = next((given.words for given in arguments if isinstance(given, AttentionMasks)), None)
        rows.append(len(arguments[0] if packing is None else packing.places))

    handle = module.register_forward_hook(count)
    try:
        yield rows
    finally:
        handle.remove()


@pytest.mark.parametrize("pairs_per_tile", [1, 4, 1000])
@torch.no_grad()
def test_all_pairs_equal_each_pair(model: LxmertForImageAndTextRetrieval, pairs_per_tile: int) -> None:
    texts, images = texts_and_images()
    expected = pair_by_pair(model, texts, images)
    assert expected.std() > 0.1
    found = model.score_all_pairs(texts, images, pairs_per_tile=pairs_per_tile, progress=False)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not found.requires_grad
    without_masks = {"input_ids": texts["input_ids"]}, {name: images[name] for name in ("visual_feats", "visual_pos")}
    found = model.score_all_pairs(*without_masks, pairs_per_tile=pairs_per_tile, progress=False)
    torch.testing.assert_close(found, pair_by_pair(model, *without_masks), atol=1e-5, rtol=1e-5)
    embedded = {
        "inputs_embeds": model.get_input_embeddings()(texts["input_ids"]),
        "attention_mask": texts["attention_mask"],
    }
    found = model.score_all_pairs(embedded, images, pairs_per_tile=pairs_per_tile, progress=False)
    torch.testing.assert_close(found, pair_by_pair(model, embedded, images), atol=1e-5, rtol=1e-5)


def test_each_encoder_runs_once_for_each_item(model: LxmertForImageAndTextRetrieval) -> None:
    encoder = model.lxmert.encoder
    with (
        counted_rows(encoder.layer[0]) as texts,
        counted_rows(encoder.r_layers[0]) as images,
        counted_rows(encoder.x_layers[0]) as pairs,
    ):
        model.score_all_pairs(*texts_and_images(), pairs_per_tile=3, progress=False)
    assert texts == [3, 3, 1]
    assert images == [3, 2]
    assert pairs == [3] * 11 + [2]


def test_tiles_are_no_wider_than_their_longest_text(model: LxmertForImageAndTextRetrieval) -> None:
    texts, images = texts_and_images()
    widths: list[int] = []

    def width(_: torch.nn.Module, given: tuple, __: object) -> None:
        words, _, masks = given[:3]
        widths.append(words.shape[1] if masks.words is None else masks.words.longest)

    hook = model.lxmert.encoder.x_layers[0].register_forward_hook(width)
    model.score_all_pairs(texts, images, pairs_per_tile=5, progress=False)
    hook.remove()
    assert widths == sorted(texts["attention_mask"].cumsum(1).argmax(1).add(1).tolist())


def test_bars_say_what_runs(model: LxmertForImageAndTextRetrieval, capsys: pytest.CaptureFixture[str]) -> None:
    model.score_all_pairs(*texts_and_images())
    bars = capsys.readouterr().err
    assert "7/7" in bars
    assert "5/5" in bars
    assert "35/35" in bars


@pytest.mark.parametrize(
    ("texts", "images", "error", "message"),
    [
        ({"input_id": 1}, {}, TypeError, r"texts=...\) got unknown keyword `input_id` \(did you mean `input_ids`\?\)"),
        ({"visual_feats": 1}, {}, TypeError, r"score_all_pairs\(texts=...\) got unknown keyword `visual_feats`"),
        (
            {},
            {"input_ids": 1},
            TypeError,
            r"score_all_pairs\(images=...\) got unknown keyword `input_ids`.*takes vis",
        ),
        ({"input_ids": None}, {}, ValueError, r"either input_ids or inputs_embeds, got neither"),
        ({"attention_mask": torch.ones(7, 8)}, {}, ValueError, r"attention_mask must have the shape \(7, 9\)"),
        ({"attention_mask": torch.zeros(7, 9)}, {}, ValueError, r"attention_mask hides everything of item 0"),
        ({}, {"visual_pos": torch.zeros(4, 5, 4)}, ValueError, r"5 regions in a batch of 5 but visual_pos has 5 regi"),
        ({}, {"visual_pos": torch.full((5, 5, 4), 30.0)}, ValueError, r"visual_pos must hold boxes divided by"),
        ({}, {"visual_feats": torch.zeros(5, 2, 5, 12)}, ValueError, r"LxmertForVisualReasoning takes two"),
        ({}, {"visual_feats": torch.full((5, 5, 12), torch.nan)}, ValueError, r"visual_feats holds NaN"),
    ],
)
def test_bad_collections_are_refused(
    model: LxmertForImageAndTextRetrieval, texts: dict, images: dict, error: type[Exception], message: str
) -> None:
    good_texts, good_images = texts_and_images()
    with pytest.raises(error, match=message):
        model.score_all_pairs(good_texts | texts, good_images | images, progress=False)


def test_a_tile_holds_at_least_one_pair(model: LxmertForImageAndTextRetrieval) -> None:
    with pytest.raises(ValueError, match="pairs_per_tile must be a whole number of at least 1, got 0"):
        model.score_all_pairs(*texts_and_images(), pairs_per_tile=0)


def test_half_precision_keeps_its_type(model: LxmertForImageAndTextRetrieval) -> None:
    expected = model.score_all_pairs(*texts_and_images(), progress=False)
    found = model.bfloat16().score_all_pairs(*texts_and_images(), progress=False)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("labels", [[1, 0, -1], [1, 0, -100]])
def test_the_loss_is_that_of_the_labelled(model: LxmertForImageAndTextRetrieval, labels: list[int]) -> None:
    output = model(**make_batch(), **make_masks(), labels=torch.tensor(labels))
    expected = torch.nn.functional.cross_entropy(output.logits[:2], torch.tensor([1, 0]))
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 1, 2]), ValueError, r"labels must be class ids in 0..1 .*got 2"),
        (torch.tensor([0, 1]), ValueError, r"labels must be class ids \(3,\), got \(2,\)"),
        (torch.ones(3), TypeError, r"labels must be class ids of an integer type, got torch.float32"),
    ],
)
def test_bad_labels_are_refused(
    model: LxmertForImageAndTextRetrieval, labels: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model(**make_batch(), labels=labels)


@pytest.mark.parametrize("source_class", [LxmertForPreTraining, transformers.LxmertForPreTraining])
def test_a_pretrained_checkpoint_matches_without_training(
    source_class: type[transformers.PreTrainedModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    source = source_class(source_class.config_class(**SMALL)).eval()
    torch.nn.init.normal_(source.cls.seq_relationship.weight)
    source.save_pretrained(tmp_path)
    caplog.clear()
    model, report = LxmertForImageAndTextRetrieval.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not caplog.records
    assert model.config.id2label == {0: "not matched", 1: "matched"}
    inputs = make_batch() | make_masks()
    expected = source(**inputs).cross_relationship_score
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


def test_weights_of_something_else_are_still_reported(
    small_config: Callable[..., LxmertConfig], tmp_path: Path
) -> None:
    source = LxmertForPreTraining(small_config(l_layers=3))
    source.save_pretrained(tmp_path)
    for model_class in (LxmertForImageAndTextRetrieval, LxmertForQuestionAnswering):
        _, report = model_class.from_pretrained(tmp_path, l_layers=2, output_loading_info=True)
        assert {name.split(".")[3] for name in report["unexpected_keys"]} == {"2"}
        assert all(name.startswith("lxmert.encoder.layer.2.") for name in report["unexpected_keys"])


def test_a_checkpoint_without_matching_starts_afresh(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path)
    model, report = LxmertForImageAndTextRetrieval.from_pretrained(tmp_path, output_loading_info=True)
    assert report["missing_keys"] == {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
    assert not report["unexpected_keys"]
    assert torch.equal(model.lxmert.pooler.dense.weight, small_model.lxmert.pooler.dense.weight)


def test_save_and_load(model: LxmertForImageAndTextRetrieval, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = AutoModelForZeroShotImageClassification.from_pretrained(tmp_path)
    assert type(loaded) is LxmertForImageAndTextRetrieval
    assert loaded.config.architectures == ["LxmertForImageAndTextRetrieval"]
    assert torch.equal(loaded(**make_batch()).logits, model(**make_batch()).logits)
    pretraining = LxmertForPreTraining.from_pretrained(tmp_path)
    assert torch.equal(pretraining.cls.seq_relationship.weight, model.cls.seq_relationship.weight)


def test_the_classes_are_named_in_a_copy(small_config: Callable[..., LxmertConfig]) -> None:
    config = small_config()
    model = LxmertForImageAndTextRetrieval(config)
    assert model.config.id2label == {0: "not matched", 1: "matched"}
    assert (config.num_qa_labels, config.id2label[6]) == (7, "LABEL_6")


def test_scores_do_not_depend_on_dropout(model: LxmertForImageAndTextRetrieval) -> None:
    texts, images = texts_and_images()
    expected = model.score_all_pairs(texts, images, progress=False)
    model.train()
    scores = model.score_all_pairs(texts, images, progress=False)
    assert torch.equal(scores, expected)
    assert not scores.requires_grad
    assert model.training


def test_what_is_left_out_may_be_said(model: LxmertForImageAndTextRetrieval) -> None:
    inputs = make_batch()
    texts = {"input_ids": inputs["input_ids"], "attention_mask": None, "inputs_embeds": None}
    images = {"visual_feats": inputs["visual_feats"], "visual_pos": inputs["visual_pos"], "visual_attention_mask": None}
    scores = model.score_all_pairs(texts, images, progress=False)  # type: ignore[arg-type]
    torch.testing.assert_close(scores[1, 2], pair_by_pair(model, *plain(texts, images))[1, 2])
    none = {name: tensor[:0] for name, tensor in inputs.items() if name != "input_ids"}
    with pytest.raises(ValueError, match="visual_feats is an empty batch"):
        model.score_all_pairs({"input_ids": inputs["input_ids"]}, none, progress=False)
    with pytest.raises(ValueError, match=r"whole number of at least 1, got 2\.5"):
        model.score_all_pairs(texts, images, pairs_per_tile=2.5)  # type: ignore[arg-type]


def plain(*inputs: dict) -> list[Tensors]:
    return [{name: tensor for name, tensor in part.items() if tensor is not None} for part in inputs]
