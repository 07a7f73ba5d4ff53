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


class AttentionMasks(NamedTuple):
    """Who may attend to whom, in the form that each attention implementation wants; None lets all see all."""

    words_to_words: torch.Tensor | None
    regions_to_regions: torch.Tensor | None
    words_to_regions: torch.Tensor | None
    regions_to_words: torch.Tensor | None
    self_implementation: str
    cross_implementation: str


def attention_masks(
    config: LxmertConfig,
    words: torch.Tensor | None,
    regions: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    visual_attention_mask: torch.Tensor | None,
    implementation: str | None = None,
) -> AttentionMasks:
    """Expand the two padding masks into the masks of all four attentions.

    Args:
        config: names the attention implementation.
        words: hidden states (B, T, H) of the words, or None if only regions are encoded.
        regions: hidden states (B, R, H) of the regions, or None if only words are encoded.
        attention_mask: (B, T), 1 for words that may be attended to; holes are allowed.
        visual_attention_mask: (B, R), 1 for regions that may be attended to.
        implementation: another implementation than the configuration's, for this call.
    """
    implementation = implementation or config._attn_implementation or "eager"
    # Flash kernels drop queries by the mask of the keys, which is right only where both are the same sequence.
    padded = attention_mask is not None or visual_attention_mask is not None
    cross_implementation = "sdpa" if padded and "flash" in implementation else implementation

    def mask(queries: torch.Tensor | None, keys: torch.Tensor | None, key_mask: torch.Tensor | None, kind: str) -> Any:
        if queries is None or keys is None or key_mask is None:
            return None
        return create_bidirectional_mask(
            config=_with_implementation(config, kind),
            inputs_embeds=queries,
            attention_mask=key_mask,
            encoder_hidden_states=keys,
        )

    return AttentionMasks(
        words_to_words=mask(words, words, attention_mask, implementation),
        regions_to_regions=mask(regions, regions, visual_attention_mask, implementation),
        words_to_regions=mask(words, regions, visual_attention_mask, cross_implementation),
        regions_to_words=mask(regions, words, attention_mask, cross_implementation),
        self_implementation=implementation,
        cross_implementation=cross_implementation,
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

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor,
        attention_mask: torch.Tensor | None,
        implementation: str,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend from `hidden_states` (B, Q, H) to `context` (B, K, H).

        Returns:
            The attended states (B, Q, H) and, from the eager implementation only, the map (B, heads, Q, K).
        """

        def split_heads(states: torch.Tensor) -> torch.Tensor:
            return states.view(*states.shape[:-1], -1, self.head_size).transpose(1, 2)  # (B, heads, N, H / heads)

        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
        attended, probabilities = attend(
            self,
            split_heads(self.query(hidden_states)),
            split_heads(self.key(context)),
            split_heads(self.value(context)),
            attention_mask,
            scaling=self.scaling,
            dropout=self.dropout.p if self.training else 0.0,
        )
        return attended.reshape(hidden_states.shape), probabilities


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
        queries: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, H) to (B, N, H) and the map (B, heads, N, N) or None; of the first `queries` only, if given."""
        asking = hidden_states[:, :queries]
        attended, probabilities = self.self(asking, hidden_states, attention_mask, implementation)
        return self.output(attended, asking), probabilities


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
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """From (B, Q, H) to the other modality's (B, K, H): (B, Q, H) and the map (B, heads, Q, K) or None."""
        attended, probabilities = self.att(hidden_states, context, attention_mask, implementation)
        return self.output(attended, hidden_states), probabilities
