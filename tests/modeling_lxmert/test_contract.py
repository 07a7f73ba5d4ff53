import torch

from lxmert import LxmertForQuestionAnswering, LxmertModel
from tests.modeling_lxmert.contract import ModelContract


class TestLxmertModel(ModelContract):
    model_class = LxmertModel
    main_output = "pooled_output"


class TestLxmertForQuestionAnswering(ModelContract):
    model_class = LxmertForQuestionAnswering
    main_output = "question_answering_score"
    labels = {"labels": torch.tensor([0, 6, 3])}


class TestLxmertForQuestionAnsweringWithScores(ModelContract):
    model_class = LxmertForQuestionAnswering
    main_output = "question_answering_score"
    labels = {"labels": torch.linspace(0, 1, 21).reshape(3, 7)}
