"""Input embeddings: words with their positions, and regions with theirs (section 2.1)."""

import torch
from torch import nn

from lxmert.configuration import LxmertConfig


class LxmertEmbeddings(nn.Module):
    """Word-level sentence embeddings: LN(word + index), section 2.1, with BERT's token types beside them."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        # Row 0 of each table gets no gradient, as in the original.
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size, padding_idx=0)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size, padding_idx=0)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed wordpieces (B, T), or continue from word embeddings (B, T, H), to (B, T, H)."""
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        length, device = inputs_embeds.shape[1], inputs_embeds.device
        if token_type_ids is None:
            token_type_ids = torch.zeros(1, length, dtype=torch.long, device=device)
        positions = self.position_embeddings(torch.arange(length, device=device))  # (T, H)
        embeddings = inputs_embeds + positions + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(embeddings))


class LxmertVisualFeatureEncoder(nn.Module):
    """Object-level image embeddings: (LN(W_F f + b_F) + LN(W_P p + b_P)) / 2, equation (1) of section 2.1."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.visn_fc = nn.Linear(config.visual_feat_dim, config.hidden_size)
        self.visn_layer_norm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.box_fc = nn.Linear(config.visual_pos_dim, config.hidden_size)
        self.box_layer_norm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, visual_feats: torch.Tensor, visual_pos: torch.Tensor) -> torch.Tensor:
        """Features (B, R, visual_feat_dim) and boxes (B, R, visual_pos_dim) to (B, R, H)."""
        # The processor gives float32; a model in half precision takes it as well.
        appearance = self.visn_layer_norm(self.visn_fc(visual_feats.to(self.visn_fc.weight.dtype)))
        place = self.box_layer_norm(self.box_fc(visual_pos.to(self.box_fc.weight.dtype)))
        return self.dropout((appearance + place) / 2)
