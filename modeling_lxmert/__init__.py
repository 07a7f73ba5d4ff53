"""The model: embeddings, three encoders, heads and losses, in the order of the paper's section 2."""

from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel
from lxmert.modeling_lxmert.outputs import LxmertForQuestionAnsweringOutput, LxmertModelOutput
from lxmert.modeling_lxmert.question_answering import LxmertForQuestionAnswering

__all__ = [
    "LxmertForQuestionAnswering",
    "LxmertForQuestionAnsweringOutput",
    "LxmertModel",
    "LxmertModelOutput",
    "LxmertPreTrainedModel",
]
