"""Attention: who may attend to whom, the multi-head layer, and the two sub-layers built from it.

Section 2.2 of the paper ("Background: Attention Layers") and its figure 1 (boxes "Self" and "Cross").
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.packing import Packing, ends_of_items
from lxmert.modeling_lxmert.sequences import Sequences


class Projections(NamedTuple):
    """Queries, keys and values of one attention, before they are split into heads."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor


class AttentionMasks(NamedTuple):
    """Who may attend to whom, in the form that each attention implementation wants; None lets all see all.

    Where words or regions come packed, their packings say where items begin.
    """

    words_to_words: torch.Tensor | None
    regions_to_regions: torch.Tensor | None
    words_to_regions: torch.Tensor | None
    regions_to_words: torch.Tensor | None
    self_implementation: str
    cross_implementation: str
    words: Packing | None = None
    regions: Packing | None = None


def attention_masks(
    config: LxmertConfig,
    words: Sequences | None,
    regions: Sequences | None,
    implementation: str | None = None,
) -> AttentionMasks:
    """Expand the two padding masks into the masks of all four attentions.

    Args:
        config: names the attention implementation.
        words: with their mask (B, T), or None if only regions are encoded.
        regions: with their mask (B, R), or None if only words are encoded.
        implementation: another implementation than the configuration's, for this call.
    """
    implementation = implementation or config._attn_implementation or "eager"
    given = [side for side in (words, regions) if side is not None]
    packings = [side.packing if side else None for side in (words, regions)]
    padded = [side for side in given if side.mask is not None]
    cross_implementation = implementation
    if padded and "flash" in implementation:
        if all(side.packing for side in padded):
            return AttentionMasks(None, None, None, None, implementation, implementation, *packings)  # nothing to hide
        # Flash kernels drop queries by the mask of the keys, which is right only where both are the same sequence.
        cross_implementation = "sdpa"

    def mask(queries: Sequences | None, keys: Sequences | None, kind: str) -> Any:
        if queries is None or keys is None or keys.mask is None:
            return None
        of_queries, of_keys = (side.states.new_empty(*side.shape, 0) for side in (queries, keys))  # for their shapes
        return create_bidirectional_mask(
            config=_with_implementation(config, kind),
            inputs_embeds=of_queries,
            attention_mask=keys.mask,
            encoder_hidden_states=of_keys,
            allow_is_bidirectional_skip=False,  # it would read the mask, for which a GPU waits; Sequences.of has looked
        )

    return AttentionMasks(
        words_to_words=mask(words, words, implementation),
        regions_to_regions=mask(regions, regions, implementation),
        words_to_regions=mask(words, regions, cross_implementation),
        regions_to_words=mask(regions, words, cross_implementation),
        self_implementation=implementation,
        cross_implementation=cross_implementation,
        words=packings[0],
        regions=packings[1],
    )


def _with_implementation(config: LxmertConfig, implementation: str) -> LxmertConfig:
    if config._attn_implementation == implementation:
        return config
    config = copy.copy(config)
    config._attn_implementation = implementation
    return config


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q K^T * scaling + mask) V, step by step; the only implementation that yields the attention maps.

    Args:
        module: the attention layer, as transformers' attention interface hands it over.
        query: (B, heads, Q, H / heads).
        key: (B, heads, K, H / heads).
        value: (B, heads, K, H / heads).
        attention_mask: added to the scores, broadcast to (B, heads, Q, K).
        scaling: factor of the scores, 1 / sqrt(H / heads).
        dropout: probability of dropping an attention probability.
        kwargs: what the interface passes to other implementations.

    Returns:
        The context (B, Q, heads, H / heads) and the probabilities (B, heads, Q, K), after dropout.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    probabilities = nn.functional.softmax(scores, dim=-1)
    probabilities = nn.functional.dropout(probabilities, p=dropout, training=module.training)
    return torch.matmul(probabilities, value).transpose(1, 2), probabilities


class LxmertAttention(nn.Module):
    """Multi-head attention from queries to a context; both may be the same sequence."""

    # transformers' SDPA path takes a module without this attribute for a causal one.
    is_causal = False

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_size**-0.5
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def project(self, states: torch.Tensor) -> Projections:
        """Queries, keys and values of states (..., H), each of the same shape."""
        return Projections(self.query(states), self.key(states), self.value(states))

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str,
        packed_queries: Packing | None = None,
        packed_context: Packing | None = None,
        projected: Projections | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend from `hidden_states` (B, Q, H) to `context` (B, K, H); packed ones are (N, H).

        Queries, keys and values that are known already come as `projected`, in the same shapes.

        Returns:
            The attended states in the shape of `hidden_states` and, from the eager implementation only, the map
            (B, heads, Q, K).
        """
        query, key, value = projected or (self.query(hidden_states), self.key(context), self.value(context))
        # Flash kernels take items of different lengths behind each other, if nothing is left to be hidden.
        unpadded = "flash" in implementation and attention_mask is None and (packed_queries or packed_context)
        where: dict[str, Any] = {}
        if unpadded:
            of_queries, longest_query = ends_of_items(hidden_states, packed_queries)
            of_keys, longest_key = ends_of_items(context, packed_context)
            where = {"cu_seq_lens_q": of_queries, "cu_seq_lens_k": of_keys}
            where |= {"max_length_q": longest_query, "max_length_k": longest_key}
            query = packed_queries.without_fill(query) if packed_queries else query
            key, value = (packed_context.without_fill(states) if packed_context else states for states in (key, value))
            query, key, value = (states.flatten(0, -2)[None] for states in (query, key, value))  # (1, N, H)
        else:
            query = packed_queries.unpack(query) if packed_queries else query
            key, value = (packed_context.unpack(states) if packed_context else states for states in (key, value))

        def split_heads(states: torch.Tensor) -> torch.Tensor:
            return states.view(*states.shape[:-1], -1, self.head_size).transpose(1, 2)  # (B, heads, N, H / heads)

        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
        attended, probabilities = attend(
            self,
            split_heads(query),
            split_heads(key),
            split_heads(value),
            attention_mask,
            scaling=self.scaling,
            dropout=self.dropout.p if self.training else 0.0,
            **where,
        )
        if packed_queries and not unpadded:
            attended = packed_queries.pack(attended.flatten(2))
        attended = attended.reshape(hidden_states.shape)
        return packed_queries.without_fill(attended) if packed_queries and unpadded else attended, probabilities


class LxmertAttentionOutput(nn.Module):
    """Projection, dropout, residual connection and layer normalisation after an attention."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, attended: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """(B, N, H) and (B, N, H) to (B, N, H)."""
        return self.LayerNorm(self.dropout(self.dense(attended)) + residual)


class LxmertSelfAttentionLayer(nn.Module):
    """The self-attention sub-layer of all three encoders."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.self = LxmertAttention(config)
        self.output = LxmertAttentionOutput(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str,
        packing: Packing | None = None,
        first_only: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, H), or packed (N, H), to the same shape and the map (B, heads, N, N) or None.

        With `first_only`, only the first of each item asks: (B, 1, H) and the map (B, heads, 1, N) or None.
        """
        if first_only:
            asking = packing.first(hidden_states) if packing else hidden_states[:, :1]
            attended, probabilities = self.self(asking, hidden_states, attention_mask, implementation, None, packing)
            return self.output(attended, asking), probabilities
        attended, probabilities = self.self(
            hidden_states, hidden_states, attention_mask, implementation, packing, packing
        )
        return self.output(attended, hidden_states), probabilities


class LxmertCrossAttentionLayer(nn.Module):
    """The cross-attention sub-layer; the same weights serve both directions."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.att = LxmertAttention(config)
        self.output = LxmertAttentionOutput(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str,
        packed_queries: Packing | None = None,
        packed_context: Packing | None = None,
        projected: Projections | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """From (B, Q, H) to the other modality's (B, K, H): (B, Q, H) and the map (B, heads, Q, K) or None.

        Packed states are (N, H).
        """
        attended, probabilities = self.att(
            hidden_states, context, attention_mask, implementation, packed_queries, packed_context, projected
        )
        return self.output(attended, hidden_states), probabilities
