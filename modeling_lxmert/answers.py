"""The rows of an answer head: counted, named, resized, and carried to another answer list by their texts."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedConfig

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.fresh_head import reads_other_images, with_fresh_head
from lxmert.modeling_lxmert.labels import class_texts, with_class_texts, write_class_texts
from lxmert.modeling_lxmert.model import LxmertPreTrainedModel

logger = logging.getLogger(__name__)

# Keywords of `from_pretrained` that say where a configuration lies.
PLACE = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
LABELS = ("id2label", "label2id", "num_labels", "num_qa_labels")
ROWS = ("answer_head.logit_fc.3.weight", "answer_head.logit_fc.3.bias")


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

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike | None, *model_args: Any, **kwargs: Any
    ) -> Any:
        """As in transformers, but rows of the answer head go with the texts of their answers.

        Other labels than the file's, from `id2label`, `label2id` or `config`, are a new list for `set_answers`: the
        head is read with the file's list and then moved. A file without answer texts (`LABEL_i`, as in the published
        checkpoints) takes as many names as it has rows, in their order.

        Args:
            pretrained_model_name_or_path: folder or name on the Hub.
            model_args: as in transformers.
            kwargs: as in transformers.

        Raises:
            ValueError: the file has no answer texts and another number of rows than the labels given here, unless
                `ignore_mismatched_sizes=True`, which leaves the rows fresh.
        """
        name = pretrained_model_name_or_path
        wanted = _wanted_answers(kwargs)
        given = None if name is None or wanted is None else _answers_of_file(name, kwargs)
        if wanted is None or given is None or wanted == given:
            return super().from_pretrained(name, *model_args, **kwargs)
        with_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(
            name, *model_args, output_loading_info=True, **_with_answers(kwargs, given)
        )
        if model.get_qa_logit_layer() is None:
            write_class_texts(model.config, wanted)
        else:
            report = model.set_answers(wanted)
            if not info["missing_keys"] & set(ROWS):  # without rows in the file nothing was carried over
                level = logging.WARNING if report.new else logging.INFO
                logger.log(level, "Answer head of %s, moved to the given answers: %s.", name, report)
        return (model, info) if with_info else model

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
        if num_labels is None or old is None:
            return old
        if not isinstance(num_labels, int) or isinstance(num_labels, bool):
            raise TypeError(f"num_labels must be a whole number, got {num_labels!r}.")
        if num_labels == old.out_features:
            return old
        if num_labels < 1:
            raise ValueError(f"num_labels must be at least 1, got {num_labels}.")
        answers = [self.config.id2label.get(i, f"LABEL_{i}") for i in range(num_labels)]
        kept = list(range(min(num_labels, old.out_features)))
        return self._replace_rows(answers, dict(zip(kept, kept, strict=True)))

    def name_answers(self, answers: Iterable[str]) -> None:
        """Give the rows of a head without answer texts (`LABEL_i`) their texts, in order; no weight changes.

        The published checkpoints say nothing about their answers; the lists they were trained with are files of the
        original authors.

        Args:
            answers: as many as the head has rows.

        Raises:
            ValueError: another number of answers, the same answer twice, a head that has other texts already, or a
                model whose `task_qa` is off.
            TypeError: an answer that is no text.
        """
        answers = self._checked_answers(answers)
        if len(answers) != self.num_qa_labels:
            raise ValueError(
                f"answers must name the {self.num_qa_labels} rows of the head in their order, got {len(answers)}: find "
                "the list that the checkpoint was trained with; set_answers moves the head to another one afterwards."
            )
        texts = class_texts(self.config)
        if texts is not None and texts != answers:
            row = next(i for i, text in enumerate(texts) if text != answers[i])
            raise ValueError(
                f"The head has answers already, and row {row} is {texts[row]!r}, not {answers[row]!r}: name_answers is "
                "for heads without texts, set_answers moves one to another list."
            )
        write_class_texts(self.config, answers)

    def set_answers(
        self,
        answers: Iterable[str],
        normalize: Callable[[str], str] = str.strip,
        unnamed_rows: Literal["refuse", "drop"] = "refuse",
    ) -> AnswerReport:
        """Move the head to another answer list: rows go with the texts of their answers, never with their numbers.

        Rows keep dtype and device; answers that the old list lacks get fresh ones.

        Args:
            answers: the new list; class ids follow its order.
            normalize: applied to the texts of both lists before they are compared, for instance
                `lxmert.processing.clean_answer`, as the original does.
            unnamed_rows: what becomes of a head without answer texts (`LABEL_i`), whose rows no text can find:
                "refuse" it, for `name_answers` comes first, or "drop" its rows and start afresh.

        Raises:
            ValueError: no answer, the same answer twice, a head without answer texts, or a model whose `task_qa` is
                off.
            TypeError: an answer that is no text.
        """
        answers = self._checked_answers(answers)
        if unnamed_rows not in ("refuse", "drop"):
            raise ValueError(f'unnamed_rows must be "refuse" or "drop", got {unnamed_rows!r}.')
        if class_texts(self.config) is None and unnamed_rows == "refuse":
            raise ValueError(
                f"The {self.num_qa_labels} rows of the head have no answer texts, so none can be found by text: call "
                'name_answers with the list that it was trained with first, or pass unnamed_rows="drop" to start anew.'
            )
        named = {row: text for row, text in self.config.id2label.items() if text != f"LABEL_{row}"}
        old = {normalize(text): row for row, text in reversed(named.items())}  # the first of equals wins
        rows = {i: old[normalize(text)] for i, text in enumerate(answers) if normalize(text) in old}
        wanted = {normalize(text) for text in answers}
        report = AnswerReport(
            found=[answers[i] for i in rows],
            new=[text for i, text in enumerate(answers) if i not in rows],
            dropped=[text for text in self.config.id2label.values() if normalize(text) not in wanted],
        )
        self._replace_rows(answers, rows)
        return report

    def _checked_answers(self, given: Iterable[str]) -> list[str]:
        if self.get_qa_logit_layer() is None:
            raise ValueError("task_qa is off in this model's configuration: it has no answer head to set answers of.")
        if isinstance(given, str):
            raise TypeError(f"answers must be several texts, got the one text {given!r}: put it into a list.")
        answers = list(given)
        for answer in answers:
            if not isinstance(answer, str):
                raise TypeError(f"answers must be texts, got {answer!r}.")
        if not answers:
            raise ValueError("answers holds no answer.")
        if len(set(answers)) < len(answers):
            twice = next(answer for i, answer in enumerate(answers) if answer in answers[:i])
            raise ValueError(f"answers holds {twice!r} twice: every answer needs one class id.")
        return answers

    def _replace_rows(self, answers: list[str], rows: dict[int, int]) -> nn.Linear:
        """A layer for `answers`, whose row i is the old row `rows[i]` where there is one."""
        old = self.get_qa_logit_layer()
        assert old is not None
        new = nn.Linear(old.in_features, len(answers), device=old.weight.device, dtype=old.weight.dtype)
        self._init_weights(new)
        with torch.no_grad():
            to, source = list(rows), list(rows.values())
            new.weight[to], new.bias[to] = old.weight[source], old.bias[source]
        self.answer_head.logit_fc[-1] = new.train(old.training)
        write_class_texts(self.config, answers)
        return new

    @staticmethod
    def _finalize_model_loading(model: Any, load_config: Any, loading_info: Any) -> Any:
        """Rows that named answers do not fit are refused with the way out; else as in transformers.

        A head for two images, which a file may hold under the same names, is not read, not even in part.
        """
        if reads_other_images(model, loading_info):
            return with_fresh_head(model, load_config, loading_info)
        answers = class_texts(model.config)
        shapes = {name: shape for name, shape, _ in loading_info.mismatched_keys}
        if answers is not None and shapes and not load_config.ignore_mismatched_sizes and shapes.keys() <= set(ROWS):
            rows = next(iter(shapes.values()))[0]
            source = load_config.pretrained_model_name_or_path or "the state dict"
            raise ValueError(
                f"The answer head in {source} has {rows} rows without answer texts, but {len(answers)} answers are "
                f"given: load it without them, call name_answers with the {rows} answers that it was trained with and "
                "then set_answers with yours; or pass ignore_mismatched_sizes=True to start with fresh rows."
            )
        return LxmertPreTrainedModel._finalize_model_loading(model, load_config, loading_info)


def _wanted_answers(keywords: Mapping[str, Any]) -> list[str] | None:
    """The answer texts that a call of `from_pretrained` asks for; None where it leaves them to the file."""
    config = keywords.get("config")
    if isinstance(config, PreTrainedConfig):
        return class_texts(config) if isinstance(config, LxmertConfig) else None
    labels = {name: keywords[name] for name in LABELS if name in keywords}
    if labels:
        return class_texts(LxmertConfig(**labels))
    return None if config is None else _read_answers(config, keywords)


def _answers_of_file(name: str | os.PathLike, keywords: Mapping[str, Any]) -> list[str] | None:
    """The answer texts that a checkpoint has; None where it has none, or no configuration."""
    try:
        return _read_answers(name, keywords)
    except OSError:  # nothing but weights, or nothing at all, which transformers says better
        return None


def _read_answers(name: str | os.PathLike, keywords: Mapping[str, Any]) -> list[str] | None:
    values, _ = LxmertConfig.get_config_dict(name, **{place: keywords[place] for place in PLACE if place in keywords})
    return class_texts(LxmertConfig(**{label: values[label] for label in LABELS if label in values}))


def _with_answers(keywords: Mapping[str, Any], answers: list[str]) -> dict[str, Any]:
    """The keywords of `from_pretrained`, asking for these answers and no others."""
    config = keywords.get("config")
    if isinstance(config, LxmertConfig):
        return {**keywords, "config": with_class_texts(config, answers)}
    others = {name: value for name, value in keywords.items() if name not in LABELS}
    return {**others, "id2label": dict(enumerate(answers))}
