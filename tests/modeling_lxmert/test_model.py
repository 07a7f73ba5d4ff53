"""Attention maps, cached encoders, attention implementations, inputs that are refused."""

from collections.abc import Callable

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertModel
from lxmert.modeling_lxmert import packing
from tests.conftest import make_batch, make_masks

MAP_SHAPES = {  # of 4 heads, 9 words, 5 regions
    "language_attentions": (3, 4, 9, 9),
    "vision_attentions": (3, 4, 5, 5),
    "cross_encoder_attentions": (3, 4, 9, 5),
    "cross_encoder_vision_attentions": (3, 4, 5, 9),
    "cross_encoder_language_self_attentions": (3, 4, 9, 9),
    "cross_encoder_vision_self_attentions": (3, 4, 5, 5),
}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_maps(implementation: str, small_model: LxmertForQuestionAnswering) -> None:
    small_model.set_attn_implementation(implementation)
    inputs = make_batch() | make_masks()
    with torch.no_grad():
        output = small_model(**inputs, output_attentions=True)
    hidden = {9: inputs["attention_mask"], 5: inputs["visual_attention_mask"]}
    for name, shape in MAP_SHAPES.items():
        assert len(output[name]) == 2, name
        for attention in output[name]:
            assert tuple(attention.shape) == shape, name
            torch.testing.assert_close(attention.sum(-1), torch.ones(shape[:-1]))
            masked = hidden[shape[-1]][:, None, None, :] == 0
            assert attention.masked_select(masked).abs().max() == 0, name
    assert small_model.config._attn_implementation == implementation


def test_maps_and_states_come_only_on_request(small_model: LxmertForQuestionAnswering) -> None:
    assert list(small_model(**make_batch())) == ["question_answering_score"]
    states = small_model(**make_batch(), output_hidden_states=True)
    assert [tuple(state.shape) for state in states.language_hidden_states] == [(3, 9, 32)] * 4
    assert [tuple(state.shape) for state in states.vision_hidden_states] == [(3, 5, 32)] * 4


def test_regions_see_words_and_words_see_regions(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch()
    before = small_model.lxmert(**inputs)
    inputs["visual_feats"] = inputs["visual_feats"] + 1.0 * torch.arange(12)
    after = small_model.lxmert(**inputs)
    assert (before.language_output - after.language_output).abs().min(dim=-1).values.max() > 1e-4
    inputs["input_ids"] = inputs["input_ids"].flip(1)
    assert (small_model.lxmert(**inputs).vision_output - after.vision_output).abs().max() > 1e-4


def test_attention_looks_both_ways(small_model: LxmertForQuestionAnswering) -> None:
    """A causal kernel would hide the last word from the first."""
    small_model.set_attn_implementation("sdpa")
    inputs = make_batch()
    before = small_model.lxmert.encode_text(inputs["input_ids"])
    inputs["input_ids"][:, -1] = 1 + inputs["input_ids"][:, -1] % 50
    after = small_model.lxmert.encode_text(inputs["input_ids"])
    assert ((before - after)[:, 0].abs().max(dim=-1).values > 1e-5).all()


def test_cached_encoders_give_the_same_answers(small_model: LxmertForQuestionAnswering) -> None:
    inputs, masks = make_batch(), make_masks()
    expected = small_model(**inputs, **masks).logits
    text = small_model.lxmert.encode_text(inputs["input_ids"], masks["attention_mask"])
    regions = small_model.lxmert.encode_regions(
        inputs["visual_feats"], inputs["visual_pos"], masks["visual_attention_mask"]
    )
    assert text.shape == (3, 9, 32)
    assert regions.shape == (3, 5, 32)
    for cached in (
        {"encoded_text": text, "encoded_regions": regions},
        {"encoded_text": text, "visual_feats": inputs["visual_feats"], "visual_pos": inputs["visual_pos"]},
        {"input_ids": inputs["input_ids"], "encoded_regions": regions},
    ):
        torch.testing.assert_close(small_model(**cached, **masks).logits, expected, atol=1e-6, rtol=1e-6)


def test_one_image_serves_many_questions(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch()
    feats, boxes = inputs["visual_feats"][:1], inputs["visual_pos"][:1]
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    repeated = small_model(
        inputs["input_ids"], feats.expand(3, -1, -1), boxes.expand(3, -1, -1), visual_attention_mask=mask.expand(3, -1)
    )
    encoded = small_model.lxmert.encode_regions(feats, boxes, mask)
    cached = small_model(inputs["input_ids"], encoded_regions=encoded, visual_attention_mask=mask)
    torch.testing.assert_close(cached.logits, repeated.logits, atol=1e-6, rtol=1e-6)


def test_maps_of_an_encoder_that_did_not_run_are_missing(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch()
    encoded = small_model.lxmert.encode_regions(inputs["visual_feats"], inputs["visual_pos"])
    output = small_model(inputs["input_ids"], encoded_regions=encoded, output_attentions=True)
    assert output.vision_attentions is None
    assert len(output.language_attentions) == len(output.cross_encoder_attentions) == 2


def test_flash_kernels_get_only_self_attention_when_there_is_padding(
    small_model: LxmertForQuestionAnswering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They drop queries by the keys' mask, which would be wrong across modalities; a stand-in records its calls.

    Where all padding is left out, they serve everywhere: test_packing.py.
    """
    calls = []
    monkeypatch.setattr(packing, "LEAST_PADDING", 1.0)

    def stand_in(module, query, key, value, attention_mask, **kwargs):  # type: ignore[no-untyped-def]
        calls.append((query.shape[2], key.shape[2]))
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)

    AttentionInterface.register("flash_stand_in", stand_in)
    AttentionMaskInterface.register("flash_stand_in", lambda *args, attention_mask=None, **kwargs: attention_mask)
    inputs = make_batch() | make_masks()
    expected = small_model(**inputs).logits
    small_model.config._attn_implementation = "flash_stand_in"
    got = small_model(**inputs).logits
    assert set(calls) == {(9, 9), (5, 5)}
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_models_without_layers_of_a_kind(small_config: Callable[..., LxmertConfig]) -> None:
    for layers in ("l_layers", "r_layers", "x_layers"):
        model = LxmertForQuestionAnswering(small_config(**{layers: 0}))
        loss = model(**make_batch(), labels=torch.tensor([1, 2, 3])).loss
        loss.backward()
        without = {n for n, p in model.named_parameters() if p.grad is None}
        assert without == set(model.parameters_without_gradient())


def bad(**changes: object) -> Callable[[], dict[str, object]]:
    return lambda: make_batch() | changes


NAN = torch.full((3, 5, 12), float("nan"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            bad(visual_feats=torch.zeros(3, 12)),
            r"visual_feats must have the shape \(batch, regions, 12\), got \(3, 12\)",
        ),
        (bad(visual_feats=torch.zeros(3, 5, 11)), r"visual_feats must have the shape .*, got \(3, 5, 11\)"),
        (
            bad(visual_pos=torch.zeros(3, 5, 5)),
            r"visual_pos must have the shape \(batch, regions, 4\), got \(3, 5, 5\)",
        ),
        (bad(visual_pos=torch.zeros(3, 4, 4)), r"visual_feats has 5 regions .* visual_pos has 4 regions"),
        (bad(visual_pos=torch.full((3, 5, 4), 40.0)), r"visual_pos must hold boxes divided by .*, got 40..40"),
        (bad(visual_pos=torch.full((3, 5, 4), -0.1)), r"visual_pos must hold boxes divided by .*, got -0.1..-0.1"),
        (bad(visual_feats=NAN), r"visual_feats holds NaN or infinite values"),
        (bad(visual_feats=torch.zeros(3, 0, 12), visual_pos=torch.zeros(3, 0, 4)), r"visual_feats holds zero regions"),
        (bad(visual_feats=None), r"`visual_feats` is missing"),
        (bad(visual_pos=None), r"`visual_pos` is missing"),
        (bad(attention_mask=torch.ones(3, 9).tril(-1)), r"attention_mask hides everything of item 0"),
        (bad(visual_attention_mask=torch.ones(3, 4)), r"visual_attention_mask must have the shape \(3, 5\)"),
        (
            bad(attention_mask=torch.ones(3, 8)),
            r"attention_mask must have the shape \(3, 9\) of input_ids, got \(3, 8\)",
        ),
        (bad(token_type_ids=torch.zeros(1, 9).long()), r"token_type_ids must have the shape \(3, 9\)"),
        (bad(input_ids=torch.ones(9).long()), r"input_ids must have the shape \(batch, tokens\), got \(9,\)"),
        (bad(input_ids=torch.ones(3, 0).long()), r"input_ids holds no token"),
        (
            bad(input_ids=torch.ones(3, 17).long()),
            r"input_ids has 17 tokens but the model has 16 positions.*truncation",
        ),
        (bad(input_ids=torch.full((3, 9), 60)), r"input_ids must lie in 0..59, got 60..60: is this the tokenizer"),
        (bad(input_ids=None), r"Give either input_ids or inputs_embeds, got neither"),
        (bad(inputs_embeds=torch.zeros(3, 9, 32)), r"Give either input_ids or inputs_embeds, got both"),
        (bad(input_ids=torch.ones(2, 9).long()), r"input_ids has a batch of 2 but visual_feats one of 3"),
        (bad(encoded_text=torch.zeros(3, 9, 32)), r"either encoded_text or input_ids"),
        (bad(encoded_regions=torch.zeros(3, 9, 32)), r"either encoded_regions or visual_feats"),
        (
            bad(input_ids=None, encoded_text=torch.zeros(3, 9, 31)),
            r"encoded_text must have the shape \(batch, length, 32\), got \(3, 9, 31\)",
        ),
        (
            bad(input_ids=None, encoded_text=torch.zeros(3, 9, 32), attention_mask=torch.ones(3, 8)),
            r"attention_mask must have the shape \(3, 9\) of encoded_text, got \(3, 8\)",
        ),
    ],
)
def test_bad_inputs_are_refused(
    small_model: LxmertForQuestionAnswering, inputs: Callable[[], dict[str, object]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(**inputs())


def test_values_are_not_looked_at_while_compiling(small_config: Callable[..., LxmertConfig]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(LxmertModel(small_config()).eval(), backend="eager", fullgraph=True)
    assert compiled(**bad(visual_feats=NAN)()).pooled_output.isnan().all()


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_pooled_output_alone_is_the_same(
    small_config: Callable[..., LxmertConfig], layers: int, implementation: str, masked: bool
) -> None:
    """Outputs 1e-5, gradients 1e-4; what is left out is just what had no gradient."""
    torch.manual_seed(0)
    model = LxmertModel(small_config(x_layers=layers, attn_implementation=implementation)).eval()
    inputs = make_batch() | (make_masks() if masked else {})
    found, gradients = [], []
    for pooled_only in (False, True):
        model.zero_grad()
        output = model(**inputs, pooled_only=pooled_only)
        output.pooled_output.square().sum().backward()
        found.append(output)
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(found[1].pooled_output, found[0].pooled_output, atol=1e-5, rtol=0)
    assert found[1].language_output is None
    assert found[1].vision_output is None
    for name, gradient in gradients[0].items():
        other = gradients[1][name]
        if gradient is None or other is None:
            assert (gradient is None) == (other is None), name
        else:
            torch.testing.assert_close(other, gradient, atol=1e-4, rtol=0)


def test_the_last_layer_computes_what_is_needed(
    small_config: Callable[..., LxmertConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the pooled output: one word's feed-forward, and nothing of the regions."""
    model = LxmertModel(small_config(x_layers=2)).eval()
    seen: dict[str, list[int]] = {}
    for name in ("lang_inter", "visn_inter", "visn_self_att"):
        for layer, module in enumerate(model.encoder.x_layers):
            module.get_submodule(name).register_forward_hook(
                lambda _, inputs, __, key=f"{name} {layer}": seen.setdefault(key, []).append(inputs[0].shape[1])
            )
    model(**make_batch(), pooled_only=True)
    assert seen == {"lang_inter 0": [9], "visn_self_att 0": [5], "visn_inter 0": [5], "lang_inter 1": [1]}
    for asked in ("output_attentions", "output_hidden_states"):
        whole = model(**make_batch(), pooled_only=True, **{asked: True})
        assert whole.vision_output.shape == (3, 5, 32)
        assert whole.language_output.shape == (3, 9, 32)
