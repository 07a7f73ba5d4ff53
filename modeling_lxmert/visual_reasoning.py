"""`LxmertForVisualReasoning`: is a sentence about two images true? (NLVR2, section 3.3)."""

from typing import Any

import torch

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.checks import check_class_ids, check_encoded, check_pairs, check_regions, check_words
from lxmert.modeling_lxmert.fresh_head import reads_other_images, with_fresh_head
from lxmert.modeling_lxmert.heads import LxmertVisualAnswerHead
from lxmert.modeling_lxmert.labels import with_class_texts
from lxmert.modeling_lxmert.losses import question_answering_loss
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel
from lxmert.modeling_lxmert.outputs import LxmertForVisualReasoningOutput


class LxmertForVisualReasoning(LxmertPreTrainedModel):
    """LXMERT with a head that judges a sentence about two images, as the original's `NLVR2Model`.

    The sentence runs with each image; the head reads both pooled outputs side by side. The classes are always "false"
    and "true": `config` is a copy that says so, whatever the given configuration says.

    From a checkpoint of pre-training or question answering, `from_pretrained` takes the encoders. Their answer head has
    the same names but reads one image, so this one starts afresh as a whole, and a warning says so.

    Example:
        >>> from lxmert import LxmertConfig
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, visual_feat_dim=8)
        >>> model = LxmertForVisualReasoning(config).eval()
        >>> words, features, boxes = torch.tensor([[101, 2054, 102]]), torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 5, 4)
        >>> model(words, features, boxes).logits.shape
        torch.Size([1, 2])
        >>> model.config.id2label
        {0: 'false', 1: 'true'}
    """

    _keys_to_ignore_on_load_unexpected = [r"^cls\.", r"^obj_predict_head\.", r"^grounding_head\."]  # of pre-training

    def __init__(self, config: LxmertConfig):
        super().__init__(with_class_texts(config, ["false", "true"]))
        self.lxmert = LxmertModel(self.config)
        self.answer_head = LxmertVisualAnswerHead(self.config, 2, images=2)
        self.post_init()

    def parameters_without_gradient(self) -> list[str]:
        """The vision branch behind the last cross-attention: the head reads [CLS] and never sees it."""
        return self.parameters_unread(words=True, regions=False)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        visual_feats: torch.Tensor | None = None,
        visual_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        visual_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        encoded_text: torch.Tensor | None = None,
        encoded_regions: torch.Tensor | None = None,
        word_count: int | None = None,
        region_count: int | None = None,
    ) -> LxmertForVisualReasoningOutput | tuple:
        """Judge B sentences, each about a left and a right image; other arguments and errors as `LxmertModel.forward`.

        Args:
            input_ids: (B, T); `inputs_embeds` and `encoded_text` (B, T, H), masks and token types (B, T) likewise.
            visual_feats: (B, 2, R, visual_feat_dim), of the left and the right image.
            visual_pos: (B, 2, R, visual_pos_dim).
            visual_attention_mask: (B, 2, R).
            encoded_regions: (B, 2, R, H), from `encode_regions` of each image, instead of `visual_feats` and
                `visual_pos`.
            labels: (B,), 1 for true, 0 for false, -100 or -1 for none.
            word_count, region_count: see `LxmertModel.forward`.

        A batch of 1 on either side is paired with every item of the other, as in `LxmertModel.forward`.

        Raises:
            TypeError: labels that are no whole numbers.
            ValueError: one image for each sentence, (B, R, visual_feat_dim), labels of another shape, or, on CPU, out
                of range.
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        size = self.config.hidden_size
        # The base model checks again, but what it sees is twice as many.
        if encoded_text is None:
            check_words(self.config, input_ids, inputs_embeds, attention_mask, token_type_ids)
        else:
            check_encoded("encoded_text", encoded_text, "attention_mask", attention_mask, size)
        if encoded_regions is None:
            check_regions(self.config, visual_feats, visual_pos, visual_attention_mask, pairs=True)
        else:
            mask = visual_attention_mask
            check_encoded("encoded_regions", encoded_regions, "visual_attention_mask", mask, size, pairs=True)
        sentences = next(given.shape[0] for given in (encoded_text, input_ids, inputs_embeds) if given is not None)
        pairs = next(given.shape[0] for given in (encoded_regions, visual_feats) if given is not None)
        batch = check_pairs(sentences, pairs)
        each = torch.arange(batch, device=self.device)
        # Sentences 0, 0, 1, 1, ... with images left, right, left, right, ...; each sentence is encoded once.
        encoded = self.lxmert(
            input_ids=input_ids,
            visual_feats=_in_one_row(visual_feats),
            visual_pos=_in_one_row(visual_pos),
            attention_mask=attention_mask,
            visual_attention_mask=_in_one_row(visual_attention_mask),
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            encoded_text=encoded_text,
            encoded_regions=_in_one_row(encoded_regions),
            pooled_only=True,
            text_indices=each.repeat_interleave(2) if sentences == batch else torch.zeros_like(each).repeat(2),
            image_indices=None if pairs == batch else torch.arange(2, device=self.device).repeat(batch),
            word_count=word_count,
            region_count=region_count,
        )
        logits = self.answer_head(encoded.pooled_output.unflatten(0, (batch, 2)).flatten(1))
        loss = None
        if labels is not None:
            check_class_ids("labels", labels, (batch,), 2)
            loss = question_answering_loss(logits, labels)
        output = LxmertForVisualReasoningOutput(loss=loss, logits=logits, **encoded.states_and_maps())
        return output if return_dict else output.to_tuple()

    @staticmethod
    def _finalize_model_loading(model: Any, load_config: Any, loading_info: Any) -> Any:
        """A head for one image, which a file may hold under the names of this one, is not read, not even in part."""
        if reads_other_images(model, loading_info):
            return with_fresh_head(model, load_config, loading_info)
        return LxmertPreTrainedModel._finalize_model_loading(model, load_config, loading_info)


def _in_one_row(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """(B, 2, ...) of pairs to (2B, ...)."""
    return None if tensor is None else tensor.flatten(0, 1)
