"""Grounding: which regions a word means, and how many they are (not in the paper).

A sentence about a picture holds phrases, each of which means some of its regions: phrase grounding (Plummer et al.,
2015, Flickr30k Entities). The phrases of NLVR's sentences (Suhr et al., 2017) denote sets, which may be empty, and the
sentence is true or false of the sets and their sizes. What a phrase means is predicted at its head word: at "block" in
"yellow block", at "touching" in "touching the wall".
"""

import math

import torch
from torch import nn

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.heads import LxmertPredictionHeadTransform


class LxmertGroundingHead(nn.Module):
    """Pairs of words and regions by the scaled dot product of their transformed states, and counts from the words.

    Behind the layer normalisation a transformed state is about as long as the root of H, so a logit starts around
    1 in size and reaches the root of H where word and region point the same way; the gains of the normalisation scale
    beyond that. The bias is the logit of a pair about which nothing is known.
    """

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.word_transform = LxmertPredictionHeadTransform(config)
        self.region_transform = LxmertPredictionHeadTransform(config)
        self.bias = nn.Parameter(torch.zeros(1))  # not a scalar: those cannot be sharded
        self.count_decoder = nn.Linear(config.hidden_size, config.num_count_labels)

    def forward(self, words: torch.Tensor, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, H) and (B, R, H) to logits of grounding (B, T, R) and of counts (B, T, num_count_labels)."""
        words, regions = self.word_transform(words), self.region_transform(regions)
        pairs = words @ regions.transpose(1, 2) / math.sqrt(words.shape[-1])  # (B, T, R)
        return pairs + self.bias, self.count_decoder(words)
