"""What is exported: a model, its regions encoder, or all of it but the regions encoder; tensors in, tensors out.

A graph's inputs have the names of the models' arguments, its outputs those of the models' output fields. Batch, tokens
and regions are dynamic; both sides of a batch have one size.
"""

from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers.utils import ModelOutput

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert import (
    LxmertForImageAndTextRetrieval,
    LxmertForImageAndTextRetrievalOutput,
    LxmertForQuestionAnswering,
    LxmertForQuestionAnsweringOutput,
    LxmertForVisualReasoning,
    LxmertForVisualReasoningOutput,
    LxmertModel,
    LxmertModelOutput,
    LxmertPreTrainedModel,
)

Part = Literal["whole", "regions", "rest"]
PARTS: tuple[Part, ...] = get_args(Part)
WORDS = ("input_ids", "attention_mask", "token_type_ids")
REGIONS = ("visual_feats", "visual_pos", "visual_attention_mask")
INPUTS: dict[Part, tuple[str, ...]] = {
    "whole": (*WORDS, *REGIONS),
    "regions": REGIONS,
    "rest": (*WORDS, "encoded_regions", "visual_attention_mask"),
}
# Models that can be exported: output fields and their class, by name.
OUTPUTS: dict[str, tuple[tuple[str, ...], type[ModelOutput]]] = {
    LxmertModel.__name__: (("language_output", "vision_output", "pooled_output"), LxmertModelOutput),
    LxmertForQuestionAnswering.__name__: (("question_answering_score",), LxmertForQuestionAnsweringOutput),
    LxmertForVisualReasoning.__name__: (("logits",), LxmertForVisualReasoningOutput),
    LxmertForImageAndTextRetrieval.__name__: (("logits",), LxmertForImageAndTextRetrievalOutput),
}
PAIRED = LxmertForVisualReasoning.__name__  # takes two images for each sentence


class PartOfModel(nn.Module):
    """A part of a model whose inputs and outputs are plain tensors.

    Args:
        model: one of the models in `OUTPUTS`.
        part: "whole", "regions" (`LxmertModel.encode_regions`) or "rest" (the model from `encoded_regions` on).
    """

    def __init__(self, model: LxmertPreTrainedModel, part: Part):
        super().__init__()
        self.model = model
        self.part = part
        self.paired = type(model).__name__ == PAIRED
        self.outputs = ("encoded_regions",) if part == "regions" else OUTPUTS[type(model).__name__][0]

    def forward(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run on the inputs named in `INPUTS`; gives `outputs` in their order."""
        if self.part == "regions":
            return (self.model.base_model.encode_regions(**inputs),)
        output = self.model(**inputs, return_dict=True)
        return tuple(output[name] for name in self.outputs)

    def example(self) -> dict[str, torch.Tensor]:
        """Inputs of a batch of 2 with 3 tokens and 4 regions; sizes of 1 would be taken for fixed ones."""
        config: LxmertConfig = self.model.config
        images = (2, 2) if self._of_pairs else (2,)
        made = {name: torch.ones(2, 3, dtype=torch.long) for name in WORDS} | {
            "token_type_ids": torch.zeros(2, 3, dtype=torch.long),
            "visual_feats": torch.zeros(*images, 4, config.visual_feat_dim),
            "visual_pos": torch.zeros(*images, 4, config.visual_pos_dim),
            "visual_attention_mask": torch.ones(*images, 4, dtype=torch.long),
            "encoded_regions": torch.zeros(*images, 4, config.hidden_size),
        }
        return {name: made[name] for name in INPUTS[self.part]}

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Which dimensions of which input may vary."""
        batch, regions = torch.export.Dim("batch"), torch.export.Dim("regions")
        tokens = torch.export.Dim("tokens", max=self.model.config.max_position_embeddings)
        words, images = {0: batch, 1: tokens}, {0: batch, 2 if self._of_pairs else 1: regions}
        return {name: words if name in WORDS else images for name in INPUTS[self.part]}

    @property
    def _of_pairs(self) -> bool:
        """Regions come for pairs of images (B, 2, R, ...); the regions encoder takes images one by one."""
        return self.paired and self.part != "regions"
