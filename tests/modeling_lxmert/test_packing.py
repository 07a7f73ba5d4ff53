"""Padding left out, sentences that share images: equal to the plain computation, with nothing computed twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface

from lxmert import (
    LxmertConfig,
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.modeling_lxmert import checks, packing, pretraining_targets, sequences
from lxmert.modeling_lxmert.attention import eager_attention
from lxmert.modeling_lxmert.packing import marked_positions, packing_of
from lxmert.modeling_lxmert.sequences import Sequences
from tests.conftest import make_batch, make_masks

MASK = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 1, 0]])  # a hole; padding; a hidden first word
KEPT = [0, 1, 3, 4, 8, 9, 10]
PRETRAINING = {
    "labels": torch.tensor([[-100, 5, -100, 7, *[-100] * 5], [-100, -100, 3, *[-1] * 6], [-100] * 9]),
    "matched_label": torch.tensor([1, 0, 1]),
    "ans": torch.tensor([2, -1, 6]),
}


def visual_labels(rows: int, regions: int = 5) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shape = (rows, regions)
    masked = (torch.rand(shape, generator=generator) < 0.4).float()
    return {
        "obj": (torch.randint(0, 5, shape, generator=generator), torch.rand(shape, generator=generator)),
        "attr": (torch.randint(-1, 3, shape, generator=generator), torch.rand(shape, generator=generator)),
        "feat": (torch.randn(*shape, 12, generator=generator), masked),
    }


@contextmanager
def plainly() -> Iterator[None]:
    """Padding is computed as well."""
    least, packing.LEAST_PADDING = packing.LEAST_PADDING, 1.0
    try:
        yield
    finally:
        packing.LEAST_PADDING = least


def run(model: torch.nn.Module, inputs: dict[str, Any], output: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """An output, and the gradients of all parameters by its squares, or by itself if it is a loss."""
    model.zero_grad()
    found = getattr(model(**inputs), output)
    (found if output == "loss" else found.square().sum()).backward()
    return found.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def check_equal(found: tuple[Any, dict[str, torch.Tensor]], expected: tuple[Any, dict[str, torch.Tensor]]) -> None:
    """Outputs 1e-5, gradients 1e-4."""
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("count", [None, 7, 8])
def test_packing_by_hand(count: int | None) -> None:
    packed = packing_of(MASK, count, keep_first=True)
    assert packed is not None
    assert packed.rows.tolist() == KEPT  # on CPU the number given, if any, is only checked
    assert packed.ends.tolist() == [0, 3, 4, 7]
    states = torch.arange(24.0).view(3, 4, 2)
    rows = packed.pack(states)
    assert rows[:, 0].tolist() == [2.0 * row for row in KEPT]
    assert packed.first(rows)[:, 0, 0].tolist() == [0.0, 8.0, 16.0]
    back = packed.unpack_with_zeros(rows)
    kept = torch.zeros(12, dtype=torch.bool)
    kept[KEPT] = True
    assert torch.equal(back.flatten(0, 1)[kept], rows)
    assert not back.flatten(0, 1)[~kept].any()


def test_rows_that_fill_up_reach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the number given may be larger than needed."""
    monkeypatch.setattr(packing, "values_may_be_read", lambda _: False)
    assert packing_of(MASK) is None
    packed = packing_of(MASK, 10, keep_first=True)
    assert packed is not None
    assert packed.rows.tolist() == [*KEPT, 0, 0, 0]
    states = torch.randn(3, 4, 2, requires_grad=True)
    rows = packed.pack(states)
    rows = torch.cat([rows[:7], rows[7:] * 1e6])
    packed.unpack_with_zeros(rows).sum().backward()
    expected = torch.zeros(12)
    expected[KEPT] = 1
    assert torch.equal(states.grad[..., 0].flatten(), expected)
    marked = marked_positions(MASK[:2], 6)
    assert (marked.rows.tolist(), marked.real.tolist()) == ([0, 1, 3, 4, 0, 0], [True] * 4 + [False] * 2)


def test_little_padding_is_left_in() -> None:
    assert packing_of(torch.ones(4, 20)) is None
    assert packing_of(None, 3) is None
    mask = torch.ones(4, 20)
    mask[0, -7:] = 0
    assert packing_of(mask) is None
    mask[0, -8:] = 0
    assert packing_of(mask) is not None


def test_a_number_that_is_too_small_is_refused(small_model: LxmertForQuestionAnswering) -> None:
    with pytest.raises(ValueError, match="count given is 6, but 7 positions are to be computed"):
        packing_of(MASK, 6, keep_first=True)
    with pytest.raises(ValueError, match="count given is 5, but 21 positions"):
        small_model(**make_batch(), **make_masks(), word_count=5)


def test_what_is_hidden_nowhere_needs_no_mask() -> None:
    states = torch.zeros(3, 4, 2)
    assert Sequences.of(states, torch.ones(3, 4), skip_padding=True).mask is None
    assert Sequences.of(states, MASK, skip_padding=False).mask is MASK


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("model_class", "output", "labels"),
    [
        (LxmertForQuestionAnswering, "question_answering_score", {}),
        (LxmertForQuestionAnswering, "loss", {"labels": torch.tensor([1, -100, 3])}),
        (LxmertForImageAndTextRetrieval, "logits", {}),
        (LxmertForVisualReasoning, "logits", {}),
    ],
)
def test_heads_are_equal_without_padding(
    small_config: Callable[..., LxmertConfig], implementation: str, model_class: type, output: str, labels: dict
) -> None:
    torch.manual_seed(0)
    model = model_class(small_config(attn_implementation=implementation)).eval()
    images = 2 if model_class is LxmertForVisualReasoning else 1
    inputs = make_batch(images=images) | make_masks(images=images) | labels
    inputs["attention_mask"][2, 0] = 0  # [CLS] hidden: it is read all the same
    with plainly():
        expected = run(model, inputs, output)
    check_equal(run(model, inputs, output), expected)


@pytest.mark.parametrize("regions", ["all", "masked"])
def test_pretraining_is_equal_without_dead_work(small_config: Callable[..., LxmertConfig], regions: str) -> None:
    torch.manual_seed(0)
    config = small_config(visual_label_regions=regions, task_grounding=True)
    model = LxmertForPreTraining(config).eval()
    grounding = torch.full((3, 9, 5), -100)
    grounding[0, 1] = torch.tensor([1, 0, 0, 1, -100])
    inputs = make_batch() | make_masks() | PRETRAINING | {"obj_labels": visual_labels(3), "grounding_labels": grounding}
    expected = run(model, inputs, "loss")
    check_equal(run(model, inputs | {"return_logits": False}, "loss"), expected)
    with torch.no_grad():
        whole, less = model(**inputs), model(**inputs, return_logits=False)
    for name, loss in whole.losses.items():
        torch.testing.assert_close(less.losses[name], loss, msg=name)
        if name in whole.correct:
            assert torch.equal(less.correct[name], whole.correct[name]), name


@pytest.mark.parametrize("regions", ["all", "masked"])
def test_numbers_of_labels_may_be_larger(
    small_config: Callable[..., LxmertConfig], monkeypatch: pytest.MonkeyPatch, regions: str
) -> None:
    """As on a GPU; rows that only fill up repeat the first position, whose own label counts once."""
    torch.manual_seed(0)
    model = LxmertForPreTraining(small_config(visual_label_regions=regions)).eval()
    labels, of_regions = PRETRAINING["labels"].clone(), visual_labels(3)
    labels[0, 0] = of_regions["feat"][1][0, 0] = 1
    inputs = make_batch() | make_masks() | PRETRAINING | {"labels": labels, "obj_labels": of_regions}
    expected = run(model, inputs, "loss")
    for module in (packing, sequences, pretraining_targets):
        monkeypatch.setattr(module, "values_may_be_read", lambda _: False)
    counts = {"word_count": 24, "labelled_word_count": 7, "masked_region_count": 14, "return_logits": False}
    check_equal(run(model, inputs | counts, "loss"), expected)


def test_a_label_on_a_hidden_word_counts(small_config: Callable[..., LxmertConfig]) -> None:
    model = LxmertForPreTraining(small_config()).eval()
    labels = torch.full((3, 9), -100)
    labels[1, 7] = 4  # where the mask says padding
    inputs = make_batch() | make_masks() | {"labels": labels}
    check_equal(run(model, inputs | {"return_logits": False}, "loss"), run(model, inputs, "loss"))


def test_nothing_is_computed_for_padding(small_config: Callable[..., LxmertConfig]) -> None:
    model = LxmertForPreTraining(small_config()).eval()
    seen: dict[str, int] = {}
    parts = {
        "words": model.lxmert.encoder.layer[0].intermediate,
        "vocabulary": model.cls.predictions,
        "features": model.obj_predict_head.decoder_dict["feat"],
        "objects": model.obj_predict_head.decoder_dict["obj"],
    }
    for name, part in parts.items():
        part.register_forward_hook(lambda _, given, __, name=name: seen.update({name: given[0][..., 0].numel()}))
    inputs = make_batch() | make_masks() | PRETRAINING | {"obj_labels": visual_labels(3)}
    model(**inputs, return_logits=False)
    masked = int(inputs["obj_labels"]["feat"][1].sum())
    assert 0 < masked < 15
    assert seen == {"words": 21, "vocabulary": 3, "features": masked, "objects": 15}
    model(**inputs)
    assert seen == {"words": 27, "vocabulary": 27, "features": 15, "objects": 15}


def test_padded_words_become_zeros_on_request(small_config: Callable[..., LxmertConfig]) -> None:
    model = LxmertModel(small_config()).eval()
    inputs = make_batch() | make_masks()
    with torch.no_grad():
        plain, less = model(**inputs), model(**inputs, skip_padding=True)
    hidden = inputs["attention_mask"] == 0
    assert plain.language_output[hidden].any()
    assert not less.language_output[hidden].any()
    torch.testing.assert_close(less.language_output[~hidden], plain.language_output[~hidden], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(less.vision_output, plain.vision_output, atol=1e-5, rtol=1e-5)


def shared_images(batch: int = 6) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """Sentences about three images, the row of each one's image, and the same with images repeated."""
    rows = torch.tensor([2, 0, 0, 1, 2, 2])[:batch]
    images = {name: tensor for name, tensor in (make_batch() | make_masks()).items() if name.startswith("visual")}
    words = make_batch(batch=6, seed=3)["input_ids"][:batch]
    mask = (torch.arange(9) < torch.tensor([[9], [4], [6], [5], [3], [8]])).long()[:batch]
    shared = images | {"input_ids": words, "attention_mask": mask}
    return shared | {"image_indices": rows}, rows, shared | {name: tensor[rows] for name, tensor in images.items()}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_sentences_that_share_images_answer_alike(
    small_config: Callable[..., LxmertConfig], implementation: str
) -> None:
    torch.manual_seed(0)
    model = LxmertForQuestionAnswering(small_config(attn_implementation=implementation)).eval()
    shared, _, repeated = shared_images()
    check_equal(run(model, shared, "logits"), run(model, repeated, "logits"))
    with plainly():
        check_equal(run(model, shared, "logits"), run(model, repeated, "logits"))
    images = {name: shared.pop(name) for name in ("visual_feats", "visual_pos")}
    encoded = model.lxmert.encode_regions(**images, visual_attention_mask=shared["visual_attention_mask"])
    with torch.no_grad():
        torch.testing.assert_close(
            model(**shared, encoded_regions=encoded).logits, model(**repeated).logits, atol=1e-5, rtol=1e-5
        )


def test_pretraining_on_shared_images_is_equal(small_config: Callable[..., LxmertConfig]) -> None:
    torch.manual_seed(0)
    model = LxmertForPreTraining(small_config()).eval()
    shared, rows, repeated = shared_images()
    labels = {
        "labels": torch.where(torch.rand(6, 9, generator=torch.Generator().manual_seed(0)) < 0.3, 5, -100),
        "matched_label": torch.tensor([1, 0, 1, 1, 0, 1]),
        "return_logits": False,
    }
    labels["labels"][shared["attention_mask"] == 0] = -100
    of_images = visual_labels(3)
    of_pairs = {name: (first[rows], second[rows]) for name, (first, second) in of_images.items()}
    expected = run(model, repeated | labels | {"obj_labels": of_pairs}, "loss")
    check_equal(run(model, shared | labels | {"obj_labels": of_images}, "loss"), expected)
    with pytest.raises(ValueError, match=r"obj_labels\['obj'\]\[1\] must have the shape \(3, 5\)"):
        model(**shared, **labels, obj_labels=of_pairs)


@pytest.mark.parametrize("checkpointing", [False, {"use_reentrant": False}, {"use_reentrant": True}])
def test_each_image_is_encoded_once(small_config: Callable[..., LxmertConfig], checkpointing: Any) -> None:
    torch.manual_seed(0)
    model = LxmertModel(small_config()).eval()
    encoder, seen = model.encoder, {}
    for name, part in (
        ("encoder", encoder.r_layers[0].intermediate),
        ("query", encoder.x_layers[0].visual_attention.att.query),
    ):
        part.register_forward_hook(lambda _, given, __, name=name: seen.setdefault(name, []).append(len(given[0])))
    shared, _, repeated = shared_images()
    expected = run(model, repeated, "pooled_output")
    if checkpointing:
        model.train().gradient_checkpointing_enable(checkpointing)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for attention in (module for module in model.modules() if hasattr(module, "scaling")):
            attention.dropout.p = 0.0
    seen.clear()
    output, gradients = run(model, shared, "pooled_output")
    # reentrant checkpointing gives zeros to what has no gradient otherwise
    check_equal(
        (output, {name: each for name, each in gradients.items() if name in expected[1] or each.any()}), expected
    )
    assert seen["encoder"][0] == 3
    assert 3 in seen["query"], "the regions of each image are projected once for the first cross-attention"


def test_one_image_for_all_is_encoded_once(small_model: LxmertForQuestionAnswering) -> None:
    seen: list[int] = []
    small_model.lxmert.encoder.r_layers[0].register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    inputs = make_batch() | {"attention_mask": make_masks()["attention_mask"]}
    one = inputs | {name: inputs[name][:1] for name in ("visual_feats", "visual_pos")}
    alone = inputs | {name: inputs[name][:1].expand(3, -1, -1) for name in ("visual_feats", "visual_pos")}
    check_equal(run(small_model, one, "logits"), run(small_model, alone, "logits"))
    assert seen == [1, 3]
    whole = small_model(**one, output_hidden_states=True)
    assert {len(states) for states in whole.vision_hidden_states} == {3}, "hidden states are those of every pair"


@pytest.mark.parametrize("name", ["text_indices", "image_indices"])
def test_one_row_serves_all_of_the_other_side(small_config: Callable[..., LxmertConfig], name: str) -> None:
    torch.manual_seed(0)
    model, inputs = LxmertModel(small_config()).eval(), make_batch() | make_masks()
    side = {key: each for key, each in inputs.items() if key.startswith("visual") == name.startswith("image")}
    repeated = inputs | {key: each[[2, 2, 2]] for key, each in side.items()}
    for pooled_only in (False, True):
        found = model(**inputs, **{name: torch.tensor([2])}, pooled_only=pooled_only).pooled_output
        expected = model(**repeated, pooled_only=pooled_only).pooled_output
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hidden", ["values", "readable"])
@pytest.mark.parametrize("count", [21, 24, 27, 30])
def test_any_number_that_is_large_enough_will_do(
    small_model: LxmertForQuestionAnswering, monkeypatch: pytest.MonkeyPatch, hidden: str, count: int
) -> None:
    inputs = make_batch() | make_masks()
    expected = run(small_model, inputs, "logits")
    if hidden == "values":  # as on a GPU
        for module in (packing, sequences):
            monkeypatch.setattr(module, "values_may_be_read", lambda _: False)
    check_equal(run(small_model, inputs | {"word_count": count, "region_count": 15}, "logits"), expected)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_no_value_is_read_where_a_device_would_have_to_be_waited_for(
    small_config: Callable[..., LxmertConfig], monkeypatch: pytest.MonkeyPatch, implementation: str
) -> None:
    model = LxmertForQuestionAnswering(small_config(attn_implementation=implementation)).eval()
    for module in (packing, sequences, checks):
        monkeypatch.setattr(module, "values_may_be_read", lambda _: False)
    read = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
                read.append(func)
            return func(*args, **(kwargs or {}))

    with Watch(), torch.no_grad():
        model(**make_batch(), **make_masks(), word_count=21, region_count=11)
    assert not read


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        (torch.tensor([0, 1]), ValueError, "batch of 3 but visual_feats one of 2"),
        (torch.tensor([], dtype=torch.long), ValueError, "image_indices is empty"),
        (torch.tensor([0, 1, 1], dtype=torch.uint8), TypeError, "int64 or int32, got torch.uint8"),
        (torch.tensor([0, 1, 3]), ValueError, r"image_indices must lie in 0..2, the rows that are there, got 0..3"),
        (torch.tensor([0, -1, 1]), ValueError, r"got -1..1"),
        (torch.tensor([0.0, 1.0, 1.0]), TypeError, "image_indices must be whole numbers"),
        (torch.tensor([[0, 1, 1]]), ValueError, r"image_indices must have the shape \(pairs,\)"),
        ([0, 1, 1], TypeError, "image_indices must be a tensor"),
    ],
)
def test_rows_of_images_are_checked(
    small_model: LxmertForQuestionAnswering, indices: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small_model(**make_batch(), image_indices=indices)


def flash_in_loops(module: torch.nn.Module, query: Any, key: Any, value: Any, mask: Any, **given: Any) -> Any:
    """What a flash kernel does with items behind each other, (1, heads, N, H / heads), item by item."""
    assert mask is None
    if "cu_seq_lens_q" not in given:  # nothing is padded
        return eager_attention(module, query, key, value, None, given["scaling"])
    ends = zip(given["cu_seq_lens_q"].tolist(), given["cu_seq_lens_k"].tolist(), strict=True)
    previous, parts = (0, 0), []
    for end in list(ends)[1:]:
        of_queries, of_keys = (slice(start, stop) for start, stop in zip(previous, end, strict=True))
        assert of_queries.stop - of_queries.start <= given["max_length_q"]
        assert of_keys.stop - of_keys.start <= given["max_length_k"]
        attended, _ = eager_attention(
            module, query[:, :, of_queries], key[:, :, of_keys], value[:, :, of_keys], None, given["scaling"]
        )
        parts.append(attended)
        previous = end
    unwritten = torch.full((1, query.shape[2] - previous[0], *parts[0].shape[2:]), float("nan"))
    return torch.cat([*parts, unwritten], dim=1), None


@pytest.mark.parametrize("masks", ["both", "words"])
def test_flash_kernels_are_told_where_items_begin(
    small_config: Callable[..., LxmertConfig], monkeypatch: pytest.MonkeyPatch, masks: str
) -> None:
    AttentionInterface.register("flash_in_loops", flash_in_loops)
    torch.manual_seed(0)
    model = LxmertForQuestionAnswering(small_config(attn_implementation="eager")).eval()
    shared, _, _ = shared_images()
    if masks == "words":
        shared.pop("visual_attention_mask")
    expected = run(model, shared, "logits")
    model.config._attn_implementation = "flash_in_loops"
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "flash_in_loops"
    check_equal(run(model, shared, "logits"), expected)
    monkeypatch.setattr(packing, "values_may_be_read", lambda _: False)
    monkeypatch.setattr(sequences, "values_may_be_read", lambda _: False)
    count = int(shared["attention_mask"].sum())
    for more in (0, 5) if masks == "words" else ():  # rows that only fill up hold whatever a kernel leaves there
        check_equal(run(model, shared | {"word_count": count + more}, "logits"), expected)


def test_a_compiled_model_packs_to_the_number_it_is_told(small_config: Callable[..., LxmertConfig]) -> None:
    """One graph for all batches of a shape, whatever their padding; no graph break."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = LxmertForQuestionAnswering(small_config(attn_implementation="sdpa")).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    inputs = make_batch() | make_masks()
    with torch.no_grad():
        expected = model(**inputs).logits
        torch.testing.assert_close(compiled(**inputs).logits, expected, atol=1e-5, rtol=1e-5)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        torch.testing.assert_close(compiled(**inputs, word_count=24).logits, expected, atol=1e-5, rtol=1e-5)
        inputs["attention_mask"][0, 5:] = 0
        expected = model(**inputs).logits
        torch.testing.assert_close(compiled(**inputs, word_count=24).logits, expected, atol=1e-5, rtol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1
