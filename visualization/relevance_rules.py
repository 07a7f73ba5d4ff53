"""How relevance spreads through two streams of attention: pure functions on maps and their gradients.

The generic rules are those of Chefer, Gur & Wolf (ICCV 2021, "Generic Attention-model Explainability for Interpreting
Bi-Modal and Encoder-Decoder Transformers", sections 3.1 and 3.2), the baselines those that the paper compares with.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import torch

from lxmert.visualization.attention import Kind

Method = Literal["generic", "gradient_attention", "attention_grad_cam", "rollout", "raw_attention"]
METHODS: tuple[Method, ...] = get_args(Method)
# These need no gradient, and explain every answer alike.
WITHOUT_GRADIENT: frozenset[Method] = frozenset({"rollout", "raw_attention"})
# Their titles, and what they do in a sentence.
METHODS_FOR_PEOPLE: dict[Method, tuple[str, str]] = {
    "generic": (
        "relevance through all layers",
        "Attention, weighted by the gradients of this answer's score and followed through all layers: what the answer "
        "rests on (Chefer, Gur & Wolf, 2021).",
    ),
    "gradient_attention": (
        "gradient-weighted attention, last layer",
        "Attention of the last layer, weighted by the gradients of this answer's score (equation 5 of Chefer, Gur & "
        "Wolf, 2021).",
    ),
    "attention_grad_cam": (
        "Grad-CAM on attention, last layer",
        "Attention of the last layer, each head weighted by its mean gradient of this answer's score (Selvaraju et "
        "al., 2017).",
    ),
    "rollout": (
        "attention rollout",
        "Attention followed through all layers without gradients: what words and regions are mixed from, alike for "
        "every answer (Abnar & Zuidema, 2020).",
    ),
    "raw_attention": (
        "attention of the last layer",
        "The mean over the heads of the last layer: where the model looked last, alike for every answer.",
    ),
}
Maps = Mapping[Kind, Sequence[torch.Tensor]]  # by kind, for each layer (B, heads, queries, keys)


class Spread(NamedTuple):
    """The relevance of every word and region for every word and region.

    Args:
        words_to_words: (B, T, T), R_tt of the paper; row i says what word i is made of.
        words_to_regions: (B, T, R), R_ti.
        regions_to_regions: (B, R, R), R_ii.
        regions_to_words: (B, R, T), R_it.
    """

    words_to_words: torch.Tensor
    words_to_regions: torch.Tensor
    regions_to_regions: torch.Tensor
    regions_to_words: torch.Tensor


def spread_relevance(
    maps: Maps, gradients: Maps | None, method: Method, normalize: bool = True, mix_own: bool = True
) -> Spread:
    """Relevance by a method.

    Args:
        maps: attention probabilities, all six kinds.
        gradients: of one answer's score by the maps, of the same shapes; None for methods that need none.
        method: one of `METHODS`.
        normalize: of "generic", whether relevance within a modality is normalised before it crosses to the other
            (equations 8 and 9); False is the original's `normalize_self_attention=False`.
        mix_own: of "generic", whether what crosses takes the relevance within both modalities along (equation 10);
            False is the original's `apply_self_in_rule_10=False`.
    """
    if method == "generic":
        assert gradients is not None
        return _generic(maps, gradients, normalize, mix_own)
    if method == "rollout":
        return _rollout(maps)
    last = {kind: (layers[-1:], (gradients or {}).get(kind, layers)[-1:]) for kind, layers in maps.items()}

    def score(kinds: Sequence[Kind]) -> torch.Tensor | None:
        """Of the last layer that there is of the first of these kinds that has layers."""
        for kind in kinds:
            if last[kind][0]:
                attention, gradient = (part[0].float() for part in last[kind])
                if method == "raw_attention":
                    return attention.mean(1)
                if method == "attention_grad_cam":
                    return (attention * gradient.mean((2, 3), keepdim=True)).mean(1).clamp(min=0)
                return _positive(attention, gradient)
        return None

    empty = _start(maps)
    return Spread(
        words_to_words=_or_zero(score(("cross_language_self", "language")), empty.words_to_words),
        words_to_regions=_or_zero(score(("language_to_vision",)), empty.words_to_regions),
        regions_to_regions=_or_zero(score(("cross_vision_self", "vision")), empty.regions_to_regions),
        regions_to_words=_or_zero(score(("vision_to_language",)), empty.regions_to_words),
    )


def normalised(relevance: torch.Tensor) -> torch.Tensor:
    """Equations 8 and 9: what each row has beyond itself, as shares, and itself (B, N, N).

    A row that has nothing beyond itself stays as it is; the original divides 0 by 0 there.

    Example:
        >>> normalised(torch.tensor([[[1.0, 3.0, 1.0], [0.0, 1.0, 0.0], [0.5, 0.5, 1.0]]]))[0].tolist()
        [[1.0, 0.75, 0.25], [0.0, 1.0, 0.0], [0.5, 0.5, 1.0]]
    """
    own = torch.eye(relevance.shape[-1], device=relevance.device)
    beyond = relevance - own
    total = beyond.sum(-1, keepdim=True)
    return torch.where(total == 0, torch.zeros_like(beyond), beyond / total) + own


def _positive(attention: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Equation 5: the mean over the heads of what raises the score, (B, heads, Q, K) to (B, Q, K)."""
    return (attention.float() * gradient.float()).clamp(min=0).mean(1)


def _start(maps: Maps) -> Spread:
    """Equation 1: before any attention, everything is made of itself."""
    crossing = maps["language_to_vision"][0]  # (B, heads, T, R)
    batch, _, words, regions = crossing.shape

    def own(count: int) -> torch.Tensor:
        return torch.eye(count, device=crossing.device).repeat(batch, 1, 1)

    def nothing(rows: int, columns: int) -> torch.Tensor:
        return torch.zeros(batch, rows, columns, device=crossing.device)

    return Spread(own(words), nothing(words, regions), own(regions), nothing(regions, words))


def _generic(maps: Maps, gradients: Maps, normalize: bool, mix_own: bool) -> Spread:
    cams = {
        kind: [_positive(*pair) for pair in zip(layers, gradients[kind], strict=True)] for kind, layers in maps.items()
    }
    words, crossing, regions, back = _start(maps)
    for cam in cams["language"]:  # equations 6 and 7
        words, crossing = words + cam @ words, crossing + cam @ crossing
    for cam in cams["vision"]:
        regions, back = regions + cam @ regions, back + cam @ back
    for layer, (to_regions, to_words) in enumerate(
        zip(cams["language_to_vision"], cams["vision_to_language"], strict=True)
    ):
        own = (normalised(words), normalised(regions)) if normalize else (words, regions)
        # equations 10 and 11, all four from the values before the layer
        crossed = own[0].transpose(1, 2) @ to_regions @ own[1] if mix_own else to_regions
        crossed_back = own[1].transpose(1, 2) @ to_words @ own[0] if mix_own else to_words
        words, regions = words + to_regions @ back, regions + to_words @ crossing
        crossing, back = crossing + crossed, back + crossed_back
        cam = cams["cross_language_self"][layer]
        words, crossing = words + cam @ words, crossing + cam @ crossing
        cam = cams["cross_vision_self"][layer]
        regions, back = regions + cam @ regions, back + cam @ back
    return Spread(words, crossing, regions, back)


def _rollout(maps: Maps) -> Spread:
    """Abnar & Zuidema (2020) within each modality, joined by the last cross-attention, as the paper's baseline."""

    def rolled(layers: Sequence[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
        for layer in layers:  # a mean over the heads, and the residual connection, in equal parts
            start = (layer.float().mean(1) @ start + start) / 2
        return start

    start = _start(maps)
    words = rolled([*maps["language"], *maps["cross_language_self"][:-1]], start.words_to_words)
    regions = rolled([*maps["vision"], *maps["cross_vision_self"][:-1]], start.regions_to_regions)
    to_regions, to_words = (maps[kind][-1].float().mean(1) for kind in ("language_to_vision", "vision_to_language"))
    return Spread(
        words_to_words=rolled(maps["cross_language_self"][-1:], words),
        words_to_regions=words.transpose(1, 2) @ to_regions @ regions,
        regions_to_regions=rolled(maps["cross_vision_self"][-1:], regions),
        regions_to_words=regions.transpose(1, 2) @ to_words @ words,
    )


def _or_zero(found: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if found is None else found
