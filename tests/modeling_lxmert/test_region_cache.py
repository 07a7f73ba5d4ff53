"""Encoded regions kept by image: the same answers, each image encoded once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from lxmert.modeling_lxmert import EncodedRegionCache
from tests.conftest import make_batch, make_masks

IMAGES = ("visual_feats", "visual_pos", "visual_attention_mask")


@pytest.fixture
def images() -> dict[str, torch.Tensor]:
    """Three images, one with padding and one with a hole."""
    inputs = make_batch() | make_masks()
    return {name: inputs[name] for name in IMAGES}


def rows_of(images: dict[str, torch.Tensor], rows: list[int]) -> dict[str, torch.Tensor]:
    return {name: tensor[rows] for name, tensor in images.items()}


@torch.no_grad()
def test_answers_are_those_of_the_plain_call(
    small_model: LxmertForQuestionAnswering, images: dict[str, torch.Tensor]
) -> None:
    cache, words = EncodedRegionCache(small_model), make_batch(batch=5, seed=4)["input_ids"]
    for rows in ([0, 1, 2, 1, 0], [2, 2, 1, 2, 2]):
        expected = small_model(words, **rows_of(images, rows)).logits
        kept = cache([f"image {row}" for row in rows], rows_of(images, rows))
        torch.testing.assert_close(small_model(words, **kept).logits, expected, atol=1e-5, rtol=1e-5)
    assert (cache.encoded, cache.found, len(cache)) == (3, 2, 3)
    unmasked = images | {"visual_attention_mask": None}
    assert cache(["other"] * 3, unmasked)["encoded_regions"].shape == (1, 5, 32)
    with pytest.raises(TypeError, match="images must be a list"):
        cache("photo.jpg", images)


def test_only_what_is_missing_is_read_and_encoded(
    small_model: LxmertForQuestionAnswering, images: dict[str, torch.Tensor]
) -> None:
    cache, read, encoded = EncodedRegionCache(small_model, max_images=2), [], []
    small_model.lxmert.encoder.visn_fc.register_forward_hook(lambda _, given, __: encoded.append(len(given[0])))

    def regions(rows: list[int]) -> dict[str, torch.Tensor]:
        read.append(rows)
        return rows_of(images, rows)

    cache(["a", "b", "a"], lambda rows: regions([{0: 0, 1: 1, 2: 0}[row] for row in rows]))
    cache(["b"], lambda rows: pytest.fail("b is kept"))
    cache(["c"], lambda rows: regions([2]))  # the third: a, asked for longest ago, goes
    cache(["b", "a"], lambda rows: regions([0 for _ in rows]))
    assert read == [[0, 1], [2], [0]]
    assert encoded == [2, 1, 1]
    cache.forget()
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cache, images: cache([], images), "images is empty"),
        (lambda cache, images: cache(["a"] * 3 + ["b"], images), "regions has 3 rows, but images names row 3"),
        (lambda cache, images: cache(["a"], lambda rows: images), "regions gave 3 images for 1 of 1 rows"),
        (lambda cache, images: cache(["a"], {"visual_feats": images["visual_feats"]}), "`visual_pos` is missing"),
        (lambda cache, images: cache.model.train() and cache(["a"], images), "call model.eval"),
        (lambda cache, images: EncodedRegionCache(cache.model, 0), "max_images must be a whole number of at least 1"),
    ],
)
def test_what_goes_wrong_is_said(
    small_model: LxmertForQuestionAnswering,
    images: dict[str, torch.Tensor],
    call: Callable[..., Any],
    message: str,
) -> None:
    cache = EncodedRegionCache(small_model)
    with pytest.raises(ValueError, match=message):
        call(cache, images)
    assert len(cache) == 0
