"""What a model looked at and answered, as data and as pictures. Needs matplotlib: `pip install lxmert[plots]`."""

from lxmert.visualization.answer_figures import draw_answer_figures
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
from lxmert.visualization.perturbation import PerturbationResult, perturbation_test
from lxmert.visualization.perturbation_figures import draw_perturbation
from lxmert.visualization.pretraining import draw_pretraining
from lxmert.visualization.relevance import Relevance, relevance
from lxmert.visualization.relevance_rules import METHODS
from lxmert.visualization.report import draw_answers
from lxmert.visualization.shapley import ModalityShares, modality_shares

__all__ = [
    "FUNCTION_WORDS",
    "METHODS",
    "AnsweredQuestion",
    "AttentionRecord",
    "EvaluationReport",
    "Explanation",
    "Grounding",
    "ModalityAblation",
    "ModalityShares",
    "PerturbationResult",
    "Relevance",
    "ablate_modalities",
    "answer_questions",
    "ask_again",
    "attention_record",
    "content_words",
    "draw_answer_figures",
    "draw_answers",
    "draw_groundings",
    "draw_perturbation",
    "draw_pretraining",
    "explain",
    "given_answers",
    "ground_words",
    "modality_shares",
    "perturbation_test",
    "region_attention",
    "relevance",
    "report_answers",
    "worst_questions",
    "write_evaluation_report",
    "write_explorer",
]
