"""What a model looked at and answered, as data and as pictures. Needs matplotlib: `pip install lxmert[plots]`."""

from lxmert.visualization.answer_figures import draw_answer_figures
from lxmert.visualization.answer_relevance import Relevance, relevance
from lxmert.visualization.answers import (
    AnsweredQuestion,
    answer_questions,
    ask_again,
    given_answers,
    region_attention,
)
from lxmert.visualization.attention import AttentionRecord, attention_record
from lxmert.visualization.evaluation_data import EvaluationReport, worst_questions
from lxmert.visualization.evaluation_report import report_answers, write_evaluation_report
from lxmert.visualization.explanation import Explanation, explain
from lxmert.visualization.explorer import write_explorer
from lxmert.visualization.grounding import FUNCTION_WORDS, Grounding, content_words, ground_words
from lxmert.visualization.grounding_figures import draw_groundings
from lxmert.visualization.modality import ModalityAblation, ablate_modalities
from lxmert.visualization.neighbour_figures import draw_neighbour_heads
from lxmert.visualization.neighbour_heads import (
    LanguageAttention,
    NeighbourHeads,
    bert_language_attention,
    lxmert_language_attention,
    score_heads,
)
from lxmert.visualization.parts_of_speech_figures import draw_parts_of_speech
from lxmert.visualization.perturbation import PerturbationResult, perturbation_test
from lxmert.visualization.perturbation_figures import draw_perturbation
from lxmert.visualization.pretraining import draw_pretraining
from lxmert.visualization.region_graph import RegionEdge, attention_map, region_edges
from lxmert.visualization.region_graph_figures import draw_region_graph
from lxmert.visualization.relevance_figures import draw_relevance
from lxmert.visualization.relevance_rules import METHODS
from lxmert.visualization.report import draw_answers
from lxmert.visualization.shapley import ModalityShares, modality_shares
from lxmert.visualization.word_attention import WordLooks, attention_of_words, look_at_regions
from lxmert.visualization.word_attention_figures import draw_word_attention
from lxmert.visualization.word_classes import tag_words

__all__ = [
    "FUNCTION_WORDS",
    "METHODS",
    "AnsweredQuestion",
    "AttentionRecord",
    "EvaluationReport",
    "Explanation",
    "Grounding",
    "LanguageAttention",
    "ModalityAblation",
    "ModalityShares",
    "NeighbourHeads",
    "PerturbationResult",
    "RegionEdge",
    "Relevance",
    "WordLooks",
    "ablate_modalities",
    "answer_questions",
    "ask_again",
    "attention_map",
    "attention_of_words",
    "attention_record",
    "bert_language_attention",
    "content_words",
    "draw_answer_figures",
    "draw_answers",
    "draw_groundings",
    "draw_neighbour_heads",
    "draw_parts_of_speech",
    "draw_perturbation",
    "draw_pretraining",
    "draw_region_graph",
    "draw_relevance",
    "draw_word_attention",
    "explain",
    "given_answers",
    "ground_words",
    "look_at_regions",
    "lxmert_language_attention",
    "modality_shares",
    "perturbation_test",
    "region_attention",
    "region_edges",
    "relevance",
    "report_answers",
    "score_heads",
    "tag_words",
    "worst_questions",
    "write_evaluation_report",
    "write_explorer",
]
