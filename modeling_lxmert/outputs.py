"""What the models return; fields in transformers' order, ours behind them."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

Tensors = tuple[torch.Tensor, ...]


@dataclass
class LxmertModelOutput(ModelOutput):
    """Output of `LxmertModel`. B pairs of T words and R regions, hidden size H.

    Hidden states come with `output_hidden_states=True`, attention maps with `output_attentions=True`: one tensor per
    layer, rows of a map sum to 1 over its last dimension. Maps and hidden states of a single-modality encoder that
    did not run, because its states were passed in, are missing.

    Args:
        language_output: (B, T, H), words after the last cross-modality layer.
        vision_output: (B, R, H), regions after the last cross-modality layer.
        pooled_output: (B, H), tanh of a projection of [CLS]; the cross-modality output of section 2.3.
        language_hidden_states: (B, T, H) after each language layer, then after each cross-modality layer.
        vision_hidden_states: (B, R, H) after each object-relationship layer, then after each cross-modality layer.
        language_attentions: (B, heads, T, T) of each language layer.
        vision_attentions: (B, heads, R, R) of each object-relationship layer.
        cross_encoder_attentions: (B, heads, T, R) of each cross-modality layer, words looking at regions.
        cross_encoder_vision_attentions: (B, heads, R, T) of each cross-modality layer, regions looking at words.
        cross_encoder_language_self_attentions: (B, heads, T, T) of each cross-modality layer.
        cross_encoder_vision_self_attentions: (B, heads, R, R) of each cross-modality layer.
    """

    language_output: torch.Tensor | None = None
    vision_output: torch.Tensor | None = None
    pooled_output: torch.Tensor | None = None
    language_hidden_states: Tensors | None = None
    vision_hidden_states: Tensors | None = None
    language_attentions: Tensors | None = None
    vision_attentions: Tensors | None = None
    cross_encoder_attentions: Tensors | None = None
    cross_encoder_vision_attentions: Tensors | None = None
    cross_encoder_language_self_attentions: Tensors | None = None
    cross_encoder_vision_self_attentions: Tensors | None = None

    def states_and_maps(self) -> dict[str, Tensors | None]:
        """The hidden states and attention maps by field name, for the output of a head."""
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name.endswith(("states", "tentions"))
        }


@dataclass
class LxmertForQuestionAnsweringOutput(ModelOutput):
    """Output of `LxmertForQuestionAnswering`; hidden states and attention maps as in `LxmertModelOutput`.

    Args:
        loss: scalar, with `labels` only.
        question_answering_score: (B, num_qa_labels), the answers' logits; also called `logits`.
    """

    loss: torch.Tensor | None = None
    question_answering_score: torch.Tensor | None = None
    language_hidden_states: Tensors | None = None
    vision_hidden_states: Tensors | None = None
    language_attentions: Tensors | None = None
    vision_attentions: Tensors | None = None
    cross_encoder_attentions: Tensors | None = None
    cross_encoder_vision_attentions: Tensors | None = None
    cross_encoder_language_self_attentions: Tensors | None = None
    cross_encoder_vision_self_attentions: Tensors | None = None

    @property
    def logits(self) -> torch.Tensor | None:
        """The answers' logits (B, num_qa_labels), under the name that other models use."""
        return self.question_answering_score


@dataclass
class LxmertForPreTrainingOutput(ModelOutput):
    """Output of `LxmertForPreTraining`; hidden states and attention maps as in `LxmertModelOutput`.

    Args:
        loss: scalar, the plain sum of `losses`; with labels only.
        prediction_logits: (B, T, vocab_size), of the wordpieces; None with `return_logits=False`.
        cross_relationship_score: (B, 2), logits of "not matched" and "matched".
        question_answering_score: (B, num_qa_labels), logits of the answers; None where `task_qa` is off.
        losses: scalars by task, as far as it is switched on and has labels: `mask_lm`, `matched`, `obj`, `attr`,
            `feat`, `qa`, `grounding`, `count`.
        correct: (2,) each, how many predictions were right and how many were judged, for the tasks that choose among
            classes; objects and attributes are judged on masked regions where `obj_labels["feat"]` tells them,
            grounding on labelled pairs, where a logit above 0 means yes.
        visual_predictions: `obj` (B, R, num_object_labels), `attr` (B, R, num_attr_labels), `feat`
            (B, R, visual_feat_dim), as far as switched on; None with `return_logits=False`.
        grounding_logits: (B, T, R), above 0 where a word means a region; None where `task_grounding` is off, and with
            `return_logits=False`.
        count_logits: (B, T, num_count_labels), of how many regions a word means; None as `grounding_logits`.
    """

    loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    cross_relationship_score: torch.Tensor | None = None
    question_answering_score: torch.Tensor | None = None
    language_hidden_states: Tensors | None = None
    vision_hidden_states: Tensors | None = None
    language_attentions: Tensors | None = None
    vision_attentions: Tensors | None = None
    cross_encoder_attentions: Tensors | None = None
    cross_encoder_vision_attentions: Tensors | None = None
    cross_encoder_language_self_attentions: Tensors | None = None
    cross_encoder_vision_self_attentions: Tensors | None = None
    losses: dict[str, torch.Tensor] | None = None
    correct: dict[str, torch.Tensor] | None = None
    visual_predictions: dict[str, torch.Tensor] | None = None
    grounding_logits: torch.Tensor | None = None
    count_logits: torch.Tensor | None = None


@dataclass
class LxmertForVisualReasoningOutput(ModelOutput):
    """Output of `LxmertForVisualReasoning` for B sentences, each about a left and a right image.

    Hidden states and attention maps as in `LxmertModelOutput`, but with a batch of 2B: the first sentence with its left
    image, the first with its right one, the second with its left one, and so on.

    Args:
        loss: scalar, with `labels` only.
        logits: (B, 2), of "false" and "true".
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    language_hidden_states: Tensors | None = None
    vision_hidden_states: Tensors | None = None
    language_attentions: Tensors | None = None
    vision_attentions: Tensors | None = None
    cross_encoder_attentions: Tensors | None = None
    cross_encoder_vision_attentions: Tensors | None = None
    cross_encoder_language_self_attentions: Tensors | None = None
    cross_encoder_vision_self_attentions: Tensors | None = None


@dataclass
class LxmertForImageAndTextRetrievalOutput(ModelOutput):
    """Output of `LxmertForImageAndTextRetrieval`; hidden states and attention maps as in `LxmertModelOutput`.

    Args:
        loss: scalar, with `labels` only.
        logits: (B, 2), of "not matched" and "matched".
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    language_hidden_states: Tensors | None = None
    vision_hidden_states: Tensors | None = None
    language_attentions: Tensors | None = None
    vision_attentions: Tensors | None = None
    cross_encoder_attentions: Tensors | None = None
    cross_encoder_vision_attentions: Tensors | None = None
    cross_encoder_language_self_attentions: Tensors | None = None
    cross_encoder_vision_self_attentions: Tensors | None = None
