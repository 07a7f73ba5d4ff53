"""The model: embeddings, three encoders, heads and losses, in the order of the paper's section 2."""

from lxmert.modeling_lxmert.answers import AnswerReport
from lxmert.modeling_lxmert.image_and_text_retrieval import LxmertForImageAndTextRetrieval
from lxmert.modeling_lxmert.losses import loss_counts
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel
from lxmert.modeling_lxmert.onednn import use_onednn
from lxmert.modeling_lxmert.outputs import (
    LxmertForImageAndTextRetrievalOutput,
    LxmertForPreTrainingOutput,
    LxmertForQuestionAnsweringOutput,
    LxmertForVisualReasoningOutput,
    LxmertModelOutput,
)
from lxmert.modeling_lxmert.pretraining import LxmertForPreTraining
from lxmert.modeling_lxmert.question_answering import LxmertForQuestionAnswering
from lxmert.modeling_lxmert.region_cache import EncodedRegionCache
from lxmert.modeling_lxmert.starting_points import (
    StartReport,
    start_from_original,
    start_language_encoder_from_bert,
)
from lxmert.modeling_lxmert.visual_reasoning import LxmertForVisualReasoning

__all__ = [
    "AnswerReport",
    "EncodedRegionCache",
    "LxmertForImageAndTextRetrieval",
    "LxmertForImageAndTextRetrievalOutput",
    "LxmertForPreTraining",
    "LxmertForPreTrainingOutput",
    "LxmertForQuestionAnswering",
    "LxmertForQuestionAnsweringOutput",
    "LxmertForVisualReasoning",
    "LxmertForVisualReasoningOutput",
    "LxmertModel",
    "LxmertModelOutput",
    "LxmertPreTrainedModel",
    "StartReport",
    "loss_counts",
    "start_from_original",
    "start_language_encoder_from_bert",
    "use_onednn",
]
