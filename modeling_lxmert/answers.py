"""The rows of an answer head: counted, resized, and carried to another answer list by their texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lxmert.modeling_lxmert.model import LxmertPreTrainedModel


@dataclass(frozen=True)
class AnswerReport:
    """What became of the answers when a head moved to another list.

    Args:
        found: answers of the new list whose rows were carried over.
        new: answers of the new list that start afresh.
        dropped: answers of the old list that the new one lacks.
    """

    found: list[str]
    new: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        total = len(self.found) + len(self.new)
        return f"{len(self.found)} of {total} answers carried over, {len(self.new)} new, {len(self.dropped)} dropped"


class LxmertAnswering(LxmertPreTrainedModel):
    """What models with an `answer_head` share."""

    @property
    def num_qa_labels(self) -> int:
        """Number of answers."""
        assert self.config.num_qa_labels is not None  # resolved on construction
        return self.config.num_qa_labels

    def get_qa_logit_layer(self) -> nn.Linear | None:
        """The layer whose rows are the answers; None for a model without an answer head."""
        head = getattr(self, "answer_head", None)
        return None if head is None else head.logit_fc[-1]

    def resize_num_qa_labels(self, num_labels: int | None) -> nn.Linear | None:
        """Add answers at the end (freshly initialised, named `LABEL_i`) or remove them from the end.

        The rows that stay keep their weights, texts, dtype and device. None changes nothing.

        Returns:
            The layer whose rows are the answers.
        """
        old = self.get_qa_logit_layer()
        if num_labels is None or old is None or num_labels == old.out_features:
            return old
        if num_labels < 1:
            raise ValueError(f"num_labels must be at least 1, got {num_labels}.")
        answers = [self.config.id2label.get(i, f"LABEL_{i}") for i in range(num_labels)]
        kept = list(range(min(num_labels, old.out_features)))
        return self._replace_rows(answers, dict(zip(kept, kept, strict=True)))

    def set_answers(self, answers: Sequence[str], normalize: Callable[[str], str] = str.strip) -> AnswerReport:
        """Move the head to another answer list: rows go with the texts of their answers, never with their numbers.

        Rows keep dtype and device; answers that the old list lacks get fresh ones.

        Args:
            answers: the new list; class ids follow its order.
            normalize: applied to the texts of both lists before they are compared, for instance
                `lxmert.processing.clean_answer`, as the original does.

        Raises:
            ValueError: no answer, the same answer twice, or a model whose `task_qa` is off.
        """
        if self.get_qa_logit_layer() is None:
            raise ValueError("task_qa is off in this model's configuration: it has no answer head to set answers of.")
        if not answers:
            raise ValueError("answers holds no answer.")
        if len(set(answers)) < len(answers):
            twice = next(answer for i, answer in enumerate(answers) if answer in answers[:i])
            raise ValueError(f"answers holds {twice!r} twice: every answer needs one class id.")
        old = {normalize(text): row for row, text in reversed(self.config.id2label.items())}  # the first of equals wins
        rows = {i: old[normalize(text)] for i, text in enumerate(answers) if normalize(text) in old}
        wanted = {normalize(text) for text in answers}
        report = AnswerReport(
            found=[answers[i] for i in rows],
            new=[text for i, text in enumerate(answers) if i not in rows],
            dropped=[text for text in self.config.id2label.values() if normalize(text) not in wanted],
        )
        self._replace_rows(list(answers), rows)
        return report

    def _replace_rows(self, answers: list[str], rows: dict[int, int]) -> nn.Linear:
        """A layer for `answers`, whose row i is the old row `rows[i]` where there is one."""
        old = self.get_qa_logit_layer()
        assert old is not None
        new = nn.Linear(old.in_features, len(answers), device=old.weight.device, dtype=old.weight.dtype)
        self._init_weights(new)
        with torch.no_grad():
            to, source = list(rows), list(rows.values())
            new.weight[to], new.bias[to] = old.weight[source], old.bias[source]
        self.answer_head.logit_fc[-1] = new
        self.config.num_labels = len(answers)
        self.config.id2label = dict(enumerate(answers))
        self.config.label2id = {answer: i for i, answer in enumerate(answers)}
        return new
