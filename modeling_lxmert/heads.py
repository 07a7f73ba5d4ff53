"""Heads on the pooled output of `LxmertModel`."""

import torch
from torch import nn
from transformers.activations import GELUActivation

from lxmert.configuration import LxmertConfig


class LxmertVisualAnswerHead(nn.Module):
    """Answers from the pooled output: H to 2H, GELU, layer normalisation, then one logit per answer."""

    def __init__(self, config: LxmertConfig, num_labels: int):
        super().__init__()
        width = 2 * config.hidden_size
        self.logit_fc = nn.Sequential(
            nn.Linear(config.hidden_size, width),
            GELUActivation(),
            nn.LayerNorm(width, eps=1e-12),
            nn.Linear(width, num_labels),
        )

    def forward(self, pooled_output: torch.Tensor) -> torch.Tensor:
        """(B, H) to logits (B, num_labels)."""
        return self.logit_fc(pooled_output)
