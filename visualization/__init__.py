"""What a model looked at, as data and as pictures. Needs matplotlib: `pip install lxmert[plots]`."""

from lxmert.visualization.answers import AnsweredQuestion, answer_questions, region_attention
from lxmert.visualization.report import draw_answers

__all__ = ["AnsweredQuestion", "answer_questions", "draw_answers", "region_attention"]
