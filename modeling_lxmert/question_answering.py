"""`LxmertForQuestionAnswering`: the answer to a question about an image, out of a fixed list (section 2.3, 3.1.3)."""

import torch

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.answers import LxmertAnswering
from lxmert.modeling_lxmert.checks import check_answer_labels
from lxmert.modeling_lxmert.heads import LxmertVisualAnswerHead
from lxmert.modeling_lxmert.losses import question_answering_loss
from lxmert.modeling_lxmert.model import LxmertModel
from lxmert.modeling_lxmert.outputs import LxmertForQuestionAnsweringOutput


class LxmertForQuestionAnswering(LxmertAnswering):
    """LXMERT with a head that scores the answers of `config.id2label` (VQA, GQA, NLVR v1).

    Example:
        >>> from lxmert import LxmertConfig
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, id2label={0: "no", 1: "yes"})
        >>> LxmertForQuestionAnswering(config).answer_head.logit_fc[-1].out_features
        2
    """

    _keys_to_ignore_on_load_unexpected = [r"^cls\.", r"^obj_predict_head\.", r"^grounding_head\."]  # of pre-training

    def __init__(self, config: LxmertConfig):
        super().__init__(config)
        self.lxmert = LxmertModel(config)
        self.answer_head = LxmertVisualAnswerHead(config, self.num_qa_labels)
        self.post_init()

    def parameters_without_gradient(self) -> list[str]:
        """The vision branch behind the last cross-attention: the answer is read from [CLS] and never sees it."""
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
        image_indices: torch.Tensor | None = None,
        word_count: int | None = None,
        region_count: int | None = None,
    ) -> LxmertForQuestionAnsweringOutput | tuple:
        """Score the answers to B questions; arguments and errors as in `LxmertModel.forward`.

        Args:
            labels: (B,) class ids, -100 or -1 for none, or (B, num_qa_labels) scores in [0, 1]; see
                `question_answering_loss`.

        Raises:
            TypeError: labels of the wrong dtype for their shape.
            ValueError: labels of another shape, or, on CPU, out of range.
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        encoded = self.lxmert(
            input_ids=input_ids,
            visual_feats=visual_feats,
            visual_pos=visual_pos,
            attention_mask=attention_mask,
            visual_attention_mask=visual_attention_mask,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            encoded_text=encoded_text,
            encoded_regions=encoded_regions,
            pooled_only=True,
            image_indices=image_indices,
            word_count=word_count,
            region_count=region_count,
        )
        scores = self.answer_head(encoded.pooled_output)
        loss = None
        if labels is not None:
            check_answer_labels(labels, *scores.shape)
            loss = question_answering_loss(scores, labels)
        output = LxmertForQuestionAnsweringOutput(
            loss=loss, question_answering_score=scores, **encoded.states_and_maps()
        )
        return output if return_dict else output.to_tuple()
