"""The model: embeddings, three encoders, heads and losses, in the order of the paper's section 2."""

from lxmert.modeling_lxmert.answers import AnswerReport
from lxmert.modeling_lxmert.losses import loss_counts
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel
from lxmert.modeling_lxmert.outputs import (
    LxmertForPreTrainingOutput,
    LxmertForQuestionAnsweringOutput,
    LxmertModelOutput,
)
from lxmert.modeling_lxmert.pretraining import LxmertForPreTraining
from lxmert.modeling_lxmert.question_answering import LxmertForQuestionAnswering
from lxmert.modeling_lxmert.starting_points import (
    StartReport,
    start_from_original,
    start_language_encoder_from_bert,
)

__all__ = [
    "AnswerReport",
    "LxmertForPreTraining",
    "LxmertForPreTrainingOutput",
    "LxmertForQuestionAnswering",
    "LxmertForQuestionAnsweringOutput",
    "LxmertModel",
    "LxmertModelOutput",
    "LxmertPreTrainedModel",
    "StartReport",
    "loss_counts",
    "start_from_original",
    "start_language_encoder_from_bert",
]
