"""Heads on the three outputs of `LxmertModel` (section 2.3)."""

from collections.abc import Collection

import torch
from torch import nn
from transformers.activations import ACT2FN, GELUActivation

from lxmert.configuration import LxmertConfig


class LxmertVisualAnswerHead(nn.Module):
    """Answers from the pooled output: H to 2H, GELU, layer normalisation, then one logit per answer.

    Of two images the pooled outputs stand side by side, so the first layer is 2H to 2H (the original's `NLVR2Model`).
    """

    def __init__(self, config: LxmertConfig, num_labels: int, images: int = 1):
        super().__init__()
        width = 2 * config.hidden_size
        self.logit_fc = nn.Sequential(
            nn.Linear(images * config.hidden_size, width),
            GELUActivation(),
            nn.LayerNorm(width, eps=1e-12),
            nn.Linear(width, num_labels),
        )

    def forward(self, pooled_output: torch.Tensor) -> torch.Tensor:
        """(B, images * H) to logits (B, num_labels)."""
        return self.logit_fc(pooled_output)


class LxmertPredictionHeadTransform(nn.Module):
    """What stands before every prediction about a word or a region: H to H, activation, layer normalisation."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., H) to (..., H)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(states)))


class LxmertLMPredictionHead(nn.Module):
    """Wordpieces from the language output; the decoder's weight is that of the word embeddings, its bias is its own."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.transform = LxmertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., H) to logits (..., vocab_size)."""
        return nn.functional.linear(self.transform(states), self.decoder.weight, self.bias)


class LxmertMatchingHead(nn.Module):
    """Matching from the pooled output, under the name that it has among the heads of pre-training."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled_output: torch.Tensor) -> torch.Tensor:
        """(B, H) to logits (B, 2), "not matched" and "matched"."""
        return self.seq_relationship(pooled_output)


class LxmertPreTrainingHeads(nn.Module):
    """Masked wordpieces from the language output, matching from the pooled output."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.predictions = LxmertLMPredictionHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class LxmertVisualObjHead(nn.Module):
    """Detected labels and features of regions from the vision output: one transform, one decoder for each task."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.transform = LxmertPredictionHeadTransform(config)
        widths = {
            "obj": config.num_object_labels if config.visual_obj_loss else 0,
            "attr": config.num_attr_labels if config.visual_attr_loss else 0,
            "feat": config.visual_feat_dim if config.visual_feat_loss else 0,
        }
        self.decoder_dict = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, width) for name, width in widths.items() if width}
        )

    def forward(self, states: torch.Tensor, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
        """(..., H) to `obj` (..., num_object_labels), `attr` (..., num_attr_labels), `feat` (..., D); only `names`."""
        states = self.transform(states)
        return {name: decoder(states) for name, decoder in self.decoder_dict.items() if names is None or name in names}
