"""What a model looked at, as data and as pictures. Needs matplotlib: `pip install lxmert[plots]`."""

from lxmert.visualization.answers import AnsweredQuestion, answer_questions, region_attention
from lxmert.visualization.pretraining import draw_pretraining
from lxmert.visualization.report import draw_answers

__all__ = ["AnsweredQuestion", "answer_questions", "draw_answers", "draw_pretraining", "region_attention"]
