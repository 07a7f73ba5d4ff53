"""The three encoders: language, object-relationship and cross-modality (section 2.2, figure 1)."""

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.attention import (
    AttentionMasks,
    LxmertCrossAttentionLayer,
    LxmertSelfAttentionLayer,
    Projections,
)
from lxmert.modeling_lxmert.embeddings import LxmertVisualFeatureEncoder
from lxmert.modeling_lxmert.packing import Packing
from lxmert.modeling_lxmert.sequences import PairsOrigin, Repetition


class LxmertIntermediate(nn.Module):
    """First half of the feed-forward sub-layer ("FF" in figure 1): widen and activate."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, N, H) to (B, N, intermediate_size)."""
        return self.intermediate_act_fn(self.dense(hidden_states))


class LxmertOutput(nn.Module):
    """Second half of the feed-forward sub-layer: back to H, dropout, residual connection, layer normalisation."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """(B, N, intermediate_size) and (B, N, H) to (B, N, H)."""
        return self.LayerNorm(self.dropout(self.dense(hidden_states)) + residual)


class LxmertLayer(GradientCheckpointingLayer):
    """A layer of a single-modality encoder: self-attention, then feed-forward."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.attention = LxmertSelfAttentionLayer(config)
        self.intermediate = LxmertIntermediate(config)
        self.output = LxmertOutput(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str,
        packing: Packing | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, H), or packed (N, H), to the same shape and the map (B, heads, N, N) or None."""
        hidden_states, attention = self.attention(hidden_states, attention_mask, implementation, packing)
        return self.output(self.intermediate(hidden_states), hidden_states), attention


class CrossModalityLayerOutput(NamedTuple):
    """States of both modalities after a cross-modality layer, and the layer's four maps (None unless eager).

    Of a layer that computed [CLS] only, `words` is (B, 1, H), and the rest is None.
    """

    words: torch.Tensor
    regions: torch.Tensor | None
    words_to_regions: torch.Tensor | None
    regions_to_words: torch.Tensor | None
    words_to_words: torch.Tensor | None
    regions_to_regions: torch.Tensor | None


class LxmertXLayer(GradientCheckpointingLayer):
    """A layer of the cross-modality encoder: cross-attention both ways, then self-attention, then feed-forward."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.visual_attention = LxmertCrossAttentionLayer(config)
        self.lang_self_att = LxmertSelfAttentionLayer(config)
        self.visn_self_att = LxmertSelfAttentionLayer(config)
        self.lang_inter = LxmertIntermediate(config)
        self.lang_output = LxmertOutput(config)
        self.visn_inter = LxmertIntermediate(config)
        self.visn_output = LxmertOutput(config)

    def forward(
        self,
        words: torch.Tensor,
        regions: torch.Tensor,
        masks: AttentionMasks,
        cls_only: bool = False,
        texts: torch.Tensor | None = None,
        images: torch.Tensor | None = None,
        repetitions: tuple[Repetition, Repetition] | None = None,
    ) -> CrossModalityLayerOutput:
        """Words (B, T, H) and regions (B, R, H) to the same shapes, each having looked at the other.

        Both, or one of them, may come packed, (N, H). With `cls_only`, [CLS] alone, (B, 1, H): it looks at all words,
        which have looked at the regions; what regions would have seen does not reach it. Where words and
        regions are repetitions of `texts` and `images`, the cross-attention's projections are computed for these.
        """
        # Both directions start from the layer's inputs and share one set of weights.
        cross, own = masks.cross_implementation, masks.self_implementation
        of_words = of_regions = None
        if texts is not None and images is not None and repetitions is not None:
            of_words, of_regions = self._projected(texts, images, *repetitions)
        seeing_words, to_regions = self.visual_attention(
            words, regions, masks.words_to_regions, cross, masks.words, masks.regions, of_words
        )
        if cls_only:
            words = self._look_as_cls(seeing_words, masks)
            return CrossModalityLayerOutput(self.lang_output(self.lang_inter(words), words), *[None] * 5)
        seen_regions, to_words = self.visual_attention(
            regions, words, masks.regions_to_words, cross, masks.regions, masks.words, of_regions
        )

        words, words_to_words = self.lang_self_att(seeing_words, masks.words_to_words, own, masks.words)
        regions, regions_to_regions = self.visn_self_att(seen_regions, masks.regions_to_regions, own, masks.regions)

        words = self.lang_output(self.lang_inter(words), words)
        regions = self.visn_output(self.visn_inter(regions), regions)
        return CrossModalityLayerOutput(words, regions, to_regions, to_words, words_to_words, regions_to_regions)

    def _projected(
        self, texts: torch.Tensor, images: torch.Tensor, to_words: Repetition, to_regions: Repetition
    ) -> tuple[Projections, Projections]:
        """What words need to look at regions, and regions to look at words: each text and image projected once."""
        attention = self.visual_attention.att
        words = Projections(*[to_words(states) for states in attention.project(texts)])
        regions = Projections(*[to_regions(states) for states in attention.project(images)])
        return regions._replace(query=words.query), words._replace(query=regions.query)

    def _look_as_cls(self, words: torch.Tensor, masks: AttentionMasks) -> torch.Tensor:
        """Self-attention among words (B, T, H), or packed (N, H), of [CLS] alone: (B, 1, H)."""
        mask, own, packing = masks.words_to_words, masks.self_implementation, masks.words
        if mask is not None and not (isinstance(mask, torch.Tensor) and mask.dim() == 4):
            # Masks of flash and flex kernels are for all queries; only (B, 1, T, T) can be cut.
            words, _ = self.lang_self_att(words, mask, own, packing)
            return packing.first(words) if packing else words[:, :1]
        mask = None if mask is None else mask[:, :, :1]
        return self.lang_self_att(words, mask, own, packing, first_only=True)[0]


class EncoderStates(NamedTuple):
    """What a single-modality encoder gives: its last states, and those and the map after each layer."""

    last: torch.Tensor
    hidden_states: list[torch.Tensor]
    attentions: list[torch.Tensor | None]


class LxmertEncoder(nn.Module):
    """Holds the three encoders; `LxmertModel` calls them one by one.

    Attribute names are the original's, so that checkpoints load: `layer` is the language encoder, `visn_fc` with
    `r_layers` the object-relationship encoder, `x_layers` the cross-modality encoder.
    """

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.visn_fc = LxmertVisualFeatureEncoder(config)
        self.layer = nn.ModuleList([LxmertLayer(config) for _ in range(config.l_layers)])
        self.x_layers = nn.ModuleList([LxmertXLayer(config) for _ in range(config.x_layers)])
        self.r_layers = nn.ModuleList([LxmertLayer(config) for _ in range(config.r_layers)])

    def language(self, words: torch.Tensor, masks: AttentionMasks) -> EncoderStates:
        """The language encoder on word embeddings (B, T, H), or packed (N, H)."""
        return _run_layers(self.layer, words, masks.words_to_words, masks.self_implementation, masks.words)

    def object_relationship(self, regions: torch.Tensor, masks: AttentionMasks) -> EncoderStates:
        """The object-relationship encoder on region embeddings (B, R, H), or packed (N, H)."""
        return _run_layers(self.r_layers, regions, masks.regions_to_regions, masks.self_implementation, masks.regions)

    def cross_modality(
        self,
        words: torch.Tensor,
        regions: torch.Tensor,
        masks: AttentionMasks,
        cls_only: bool = False,
        origin: PairsOrigin | None = None,
    ) -> list[CrossModalityLayerOutput]:
        """The cross-modality encoder on encoded words (B, T, H) and regions (B, R, H): the output of each layer.

        Packed ones are (N, H). With `cls_only`, the last layer gives [CLS] alone, (B, 1, H). Where words or regions
        were repeated to make the pairs, `origin` says from what.
        """
        outputs: list[CrossModalityLayerOutput] = []
        states: tuple[Any, Any] = (words, regions)
        for layer in self.x_layers:
            last = layer is self.x_layers[-1]
            # Tensors go one by one: reentrant checkpointing, which gives the fields as a plain tuple, looks no deeper.
            repeated = () if origin is None else (*origin[:2], origin[2:])
            outputs.append(CrossModalityLayerOutput(*layer(*states, masks, cls_only and last, *repeated)))
            origin = None  # only the first layer's inputs are repetitions
            states = outputs[-1].words, outputs[-1].regions
        return outputs


def _run_layers(
    layers: nn.ModuleList,
    states: torch.Tensor,
    mask: torch.Tensor | None,
    implementation: str,
    packing: Packing | None,
) -> EncoderStates:
    hidden_states, attentions = [], []
    for layer in layers:
        states, attention = layer(states, mask, implementation, packing)
        hidden_states.append(states)
        attentions.append(attention)
    return EncoderStates(states, hidden_states, attentions)
