"""VisualBERT of equal size, which the benchmark of NLVR compares LXMERT with.

VisualBERT (Li et al., 2019) reads words and regions in a single stream.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import VisualBertConfig, VisualBertModel, initialization
from transformers.models.visual_bert.modeling_visual_bert import VisualBertPreTrainedModel

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert import LxmertForPreTrainingOutput
from lxmert.modeling_lxmert.checks import (
    check_answer_labels,
    check_class_ids,
    check_pairs,
    check_regions,
    check_words,
)
from lxmert.modeling_lxmert.grounding import LxmertGroundingHead
from lxmert.modeling_lxmert.heads import LxmertVisualAnswerHead
from lxmert.modeling_lxmert.losses import (
    counting_loss,
    grounding_loss,
    pairs_right_and_judged,
    question_answering_loss,
    right_and_judged,
)


class VisualBertForScenes(VisualBertPreTrainedModel):
    """VisualBERT with the inputs, heads and losses that `LxmertForPreTraining` has for answers, grounding and counts.

    Words and regions stand in one sequence, and every layer looks at all of it. The heads are LXMERT's: answers from
    the pooled output, grounding from the states of words and regions, counts from those of words.

    Args:
        config: as `visual_bert_like` makes it: with `visual_feat_dim`, `visual_pos_dim`, `num_count_labels` and
            `task_grounding` beside VisualBERT's own fields.
    """

    _supports_sdpa = False  # VisualBERT's attention is its own
    # The losses are means over the batch; Trainer then divides by the number of accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: VisualBertConfig):
        super().__init__(config)
        self.visual_bert = VisualBertModel(config)
        self.answer_head = LxmertVisualAnswerHead(config, config.num_labels)
        if config.task_grounding:
            self.grounding_head = LxmertGroundingHead(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LxmertGroundingHead):  # its bias is no layer of its own
            initialization.zeros_(module.bias)

    def parameters_without_gradient(self) -> list[str]:
        """None: answers are always learned, and the pooler and every layer lead to them."""
        return []

    def compile(self, *arguments: Any, **keywords: Any) -> None:
        """Compile the layers, by far the most of the work, as `torch.nn.Module.compile` would compile all of it.

        The whole, with dynamic shapes, fails in torch 2.13: the length of the sequence is a sum there, T + R, whose
        square, in the strides of the attention maps, its bounds of symbols refuse.
        """
        self.visual_bert.encoder.compile(*arguments, **keywords)

    def forward(
        self,
        input_ids: torch.Tensor,
        visual_feats: torch.Tensor,
        visual_pos: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        visual_attention_mask: torch.Tensor | None = None,
        ans: torch.Tensor | None = None,
        grounding_labels: torch.Tensor | None = None,
        count_labels: torch.Tensor | None = None,
        loss_counts: dict[str, torch.Tensor] | None = None,
    ) -> LxmertForPreTrainingOutput:
        """Answer, ground and count; arguments, losses and errors as in `LxmertForPreTraining.forward`.

        Args:
            input_ids: (B, T), wordpiece ids.
            visual_feats: (B, R, visual_feat_dim), the regions' features.
            visual_pos: (B, R, visual_pos_dim), the regions' boxes in [0, 1].
            attention_mask: (B, T), 1 for words, 0 for padding.
            visual_attention_mask: (B, R), 1 for regions, 0 for padding.
            ans: (B,) class ids of answers, or (B, num_labels) scores in [0, 1].
            grounding_labels: (B, T, R), 1 where the phrase of a word means a region, 0 where not.
            count_labels: (B, T), class ids of how many regions the phrase of a word means.
            loss_counts: divide the losses' sums instead of the batch's own counts.

        Returns:
            `loss`, `losses`, `correct`, `question_answering_score`, `grounding_logits` and `count_logits`.

        Raises:
            TypeError: labels of the wrong type.
            ValueError: shapes that do not fit the configuration or each other, or values out of range.
        """
        check_words(self.config, input_ids, None, attention_mask, None)
        check_regions(self.config, visual_feats, visual_pos, visual_attention_mask)
        if len(input_ids) != len(visual_feats):
            check_pairs(len(input_ids), len(visual_feats))
            raise ValueError("VisualBERT reads each sentence with its own image: give as many of one as of the other.")
        self._check_labels(input_ids, visual_feats, ans, grounding_labels, count_labels)
        encoded = self.visual_bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            visual_embeds=standardised(visual_feats, visual_pos),
            visual_attention_mask=visual_attention_mask,
            return_dict=True,
        )
        words, regions = encoded.last_hidden_state.split([input_ids.shape[1], visual_feats.shape[1]], dim=1)

        divisors = loss_counts or {}
        losses, correct = {}, {}
        answers, pairs, numbers = self.answer_head(encoded.pooler_output), None, None
        if ans is not None:
            losses["qa"] = question_answering_loss(answers, ans, divisors.get("qa"))
            if not ans.is_floating_point():
                correct["qa"] = right_and_judged(answers, ans)
        if self.config.task_grounding:
            pairs, numbers = self.grounding_head(words, regions)
            if grounding_labels is not None:
                loss = grounding_loss(pairs, grounding_labels, divisors.get("grounding"))
                losses["grounding"] = self.config.grounding_loss_weight * loss
                correct["grounding"] = pairs_right_and_judged(pairs, grounding_labels)
            if count_labels is not None:
                loss = counting_loss(numbers, count_labels, divisors.get("count"))
                losses["count"] = self.config.count_loss_weight * loss
                correct["count"] = right_and_judged(numbers, count_labels)
        labelled = any(label is not None for label in (ans, grounding_labels, count_labels))
        return LxmertForPreTrainingOutput(
            loss=sum(losses.values(), start=answers.new_zeros((), dtype=torch.float32)) if labelled else None,
            question_answering_score=answers,
            losses=losses if labelled else None,
            correct=correct if labelled else None,
            grounding_logits=pairs,
            count_logits=numbers,
        )

    def _check_labels(
        self,
        input_ids: torch.Tensor,
        visual_feats: torch.Tensor,
        ans: torch.Tensor | None,
        grounding_labels: torch.Tensor | None,
        count_labels: torch.Tensor | None,
    ) -> None:
        words, regions = tuple(input_ids.shape), visual_feats.shape[1]
        if ans is not None:
            check_answer_labels(ans, words[0], self.config.num_labels, "ans")
        if grounding_labels is not None and self.config.task_grounding:
            check_class_ids("grounding_labels", grounding_labels, (*words, regions), 2)
        if count_labels is not None and self.config.task_grounding:
            check_class_ids("count_labels", count_labels, words, self.config.num_count_labels)


def standardised(visual_feats: torch.Tensor, visual_pos: torch.Tensor) -> torch.Tensor:
    """Features and boxes side by side, (B, R, D) and (B, R, P) to (B, R, D + P), as VisualBERT's one visual input.

    VisualBERT has no embedding of boxes, and one linear layer for all that a region has: without a common scale,
    whichever is larger or wider would drown the other. LXMERT normalises both and takes the mean (section 2.1), so here
    they weigh the same, too: features have mean 0 and variance 1 within each region, coordinates have them if they
    are spread evenly over [0, 1], and coordinates are multiplied so that P of them are worth D features. Nothing is
    taken from data, so every region is treated alike in every batch.
    """
    features = F.layer_norm(visual_feats, visual_feats.shape[-1:])
    boxes = (visual_pos - 0.5) * math.sqrt(12)  # an even spread over [0, 1] has the variance 1/12
    return torch.cat([features, boxes * math.sqrt(visual_feats.shape[-1] / visual_pos.shape[-1])], dim=-1)


@dataclass(frozen=True)
class EqualSize:
    """A VisualBERT, and how its size compares.

    Args:
        config: of `VisualBertForScenes`.
        parameters: how many it has.
        lxmert_parameters: how many of the LXMERT's learn from answers, grounding and counts.
    """

    config: VisualBertConfig
    parameters: int
    lxmert_parameters: int

    def __str__(self) -> str:
        difference = 100 * (self.parameters / self.lxmert_parameters - 1)
        return (
            f"VisualBERT of {self.config.num_hidden_layers} layers: {self.parameters:,} parameters, LXMERT: "
            f"{self.lxmert_parameters:,} ({difference:+.1f} %)"
        )


def visual_bert_like(config: LxmertConfig) -> EqualSize:
    """The VisualBERT of an LXMERT's width, heads and feed-forward width that is nearest to it in parameters.

    What learns is counted: heads of other tasks, and what only they read, are not.

    Args:
        config: of the LXMERT; the VisualBERT has its answers and grounding, and none of the paper's other tasks.

    Raises:
        ValueError: an LXMERT that answers no questions.
    """
    if not config.task_qa:
        raise ValueError("task_qa is off: VisualBERT is compared by its answers, so switch it on.")
    restricted = LxmertConfig(
        **(config.to_dict() | {"task_mask_lm": False, "task_matched": False, "task_obj_predict": False})
    )
    with torch.device("meta"):  # sizes only
        lxmert = LxmertForPreTraining(restricted)
        none, one = (_parameters(VisualBertForScenes(_visual_bert_config(config, layers))) for layers in (0, 1))
    idle = set(lxmert.parameters_without_gradient())
    learning = sum(parameter.numel() for name, parameter in lxmert.named_parameters() if name not in idle)
    layers = max(round((learning - none) / (one - none)), 1)
    return EqualSize(_visual_bert_config(config, layers), none + layers * (one - none), learning)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _visual_bert_config(config: LxmertConfig, layers: int) -> VisualBertConfig:
    shared = (
        *("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "initializer_range"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
        *("visual_feat_dim", "visual_pos_dim", "num_count_labels", "task_grounding", "id2label", "label2id"),
        *("grounding_loss_weight", "count_loss_weight"),
    )
    return VisualBertConfig(
        **{name: getattr(config, name) for name in shared},
        num_hidden_layers=layers,
        visual_embedding_dim=config.visual_feat_dim + config.visual_pos_dim,
        layer_norm_eps=1e-12,
        pad_token_id=0,  # the default, 1, would freeze the embedding of a word
        attn_implementation="eager",
    )
