"""Pre-training recipes: YAML files that say what is learned from what, by which model, and how."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert import LxmertForPreTraining
from lxmert.modeling_lxmert.starting_points import start_from_original, start_language_encoder_from_bert
from lxmert.processing import answer_ids, clean_answer, read_answer_list
from lxmert.processing.processes import process_state
from lxmert.training.masking import OBJECTIVES, PretrainingObjectives
from lxmert.training.pretraining import pretraining_task
from lxmert.training.pretraining_data import PretrainingData, easy_vqa_data, file_data, nlvr_data
from lxmert.training.pretraining_examples import PretrainingExamples
from lxmert.training.recipe_fields import check_fields, place_of
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task
from lxmert.training.training_data_card import TrainingData, TrainingDataCard

DATA: dict[str, Callable[..., PretrainingData]] = {"easy_vqa": easy_vqa_data, "nlvr": nlvr_data, "files": file_data}
TASK_FIELDS = ("task_mask_lm", "task_matched", "task_obj_predict", "task_qa")
# What the data says about a configuration.
FROM_DATA = {"vocab_size", "num_qa_labels", "id2label", "label2id", "num_object_labels", "num_attr_labels"} | {
    "visual_feat_dim"
}
START = {"bert", "original", "answers"}


@dataclass(frozen=True)
class PretrainingRecipe:
    """One pre-training run, except for where its files lie.

    Args:
        name: of the run.
        data: one of "easy_vqa", "nlvr" and "files", with the settings of `easy_vqa_data`, `nlvr_data` or `file_data`.
        model: fields of `LxmertConfig` that differ from the paper's size; what the data decides is not among them.
        objectives: a name in `OBJECTIVES`, or rates that differ from the original code's.
        training: fields of `TrainingSettings`.
        start: nothing to start from random weights; "bert" with a folder or name of a BERT checkpoint for the
            language encoder; "original" with a `.pth` file of the original authors, and "answers" with the list of
            answers that it was trained with, so that its answer head moves to the data's answers by text. Paths are
            relative to the folder of the data.
        max_length: largest number of wordpieces in a sentence, [CLS] and [SEP] counted; longer ones are cut.
        answers_from_epoch: image question answering starts with this epoch, counted from 0.

    Raises:
        TypeError: an unknown field, named with the nearest known one.
        ValueError: data of an unknown kind or objectives of an unknown name.
    """

    name: str
    data: dict[str, dict[str, Any]]
    model: dict[str, Any] = field(default_factory=dict)
    objectives: PretrainingObjectives | str | dict[str, Any] = "original code"
    training: dict[str, Any] = field(default_factory=dict)
    start: dict[str, str] = field(default_factory=dict)
    max_length: int = 20
    answers_from_epoch: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "model", "training", "start"):
            value = getattr(self, name)
            if value is None or (name == "data" and isinstance(value, str)):  # an empty section, a data set's name
                object.__setattr__(self, name, {} if value is None else {value: {}})
        kinds = ", ".join(DATA)
        if not isinstance(self.data, dict) or len(self.data) != 1 or next(iter(self.data)) not in DATA:
            given = ", ".join(map(str, self.data)) if isinstance(self.data, dict) else repr(self.data)
            raise ValueError(f"data must be one of {kinds}, got {given or 'none'}.")
        kind, settings = next(iter(self.data.items()))
        expected = inspect.signature(DATA[kind]).parameters
        check_fields(f"data.{kind}", settings or {}, set(expected) - {"work"})
        missing = [name for name, parameter in expected.items() if parameter.default is parameter.empty]
        if lacking := sorted(set(missing) - set(settings or {}) - {"work", "folder"}):
            raise TypeError(f"data.{kind} lacks {', '.join(lacking)}.")
        check_fields("model", self.model, {f.name for f in fields(LxmertConfig)} - FROM_DATA)
        check_fields("training", self.training, {f.name for f in fields(TrainingSettings)} - {"output_dir", "resume"})
        check_fields("start", self.start, START)
        object.__setattr__(self, "objectives", _objectives(self.objectives))
        self._check_values()

    def _check_values(self) -> None:
        """Types, ranges, and what does not go together."""
        for name, value in self.start.items():
            if not isinstance(value, str):
                raise TypeError(f"start.{name} must be a path or name, got {value!r}.")
        if {"bert", "original"} <= self.start.keys():
            raise ValueError("start must be bert or original, got both.")
        if "answers" in self.start and "original" not in self.start:
            raise ValueError("start.answers tells the answers of start.original, which is not given.")
        for name, lowest in (("max_length", 3), ("answers_from_epoch", 0)):  # [CLS], a word and [SEP]
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise ValueError(f"{name} must be a whole number of at least {lowest}, got {value!r}.")
        positions = self.model.get("max_position_embeddings", LxmertConfig.max_position_embeddings)
        if self.max_length > positions:
            raise ValueError(
                f"max_length ({self.max_length}) exceeds the model's max_position_embeddings ({positions})."
            )
        tasks = {name: self.model.get(name, True) for name in TASK_FIELDS}
        if not any(tasks.values()):
            raise ValueError(f"All of {', '.join(tasks)} are off in model: there is nothing to learn.")
        epochs = self.settings("unused").epochs
        if tasks["task_qa"] and self.answers_from_epoch >= epochs:
            raise ValueError(
                f"answers_from_epoch ({self.answers_from_epoch}) lies behind the last of {epochs} epochs, counted from "
                "0: lower it, or switch task_qa off in model."
            )

    def settings(self, output_dir: str | Path, **overrides: Any) -> TrainingSettings:
        """The settings of the loop, for one output folder."""
        return TrainingSettings(output_dir, **(self.training | overrides))

    def load_data(self, work: str | Path, folder: str | Path | None = None, progress: bool = True) -> PretrainingData:
        """Read and check the data.

        Args:
            work: folder for regions and tables; found there, they are used again.
            folder: where the data set or the files lie; easy-VQA needs none.
            progress: show bars with time left.

        Raises:
            ValueError: no `folder` where one is needed; data that cannot be used.
            FileNotFoundError: a file is not there.
        """
        kind, settings = next(iter(self.data.items()))
        keywords: dict[str, Any] = dict(settings or {})
        expected = inspect.signature(DATA[kind]).parameters
        if "folder" in expected:
            if folder is None and "folder" not in keywords:
                raise ValueError(f"Recipe {self.name} reads files: name the folder that they lie in (--data FOLDER).")
            keywords |= {} if folder is None else {"folder": folder}
        elif folder is not None:
            raise ValueError(f"Recipe {self.name} reads no files of yours: leave the folder out (--data).")
        if "progress" in expected:
            keywords["progress"] = progress
        # of several processes the first makes regions and tables, the others wait and read them
        with process_state().main_process_first():
            return DATA[kind](Path(work), **keywords)

    def config(self, data: PretrainingData) -> LxmertConfig:
        """The model's configuration: the recipe's sizes, the objectives, and what the data decides.

        Raises:
            ValueError: image question answering is on, but no sentence has an answer.
        """
        assert isinstance(self.objectives, PretrainingObjectives)
        if not data.answers and self.model.get("task_qa", True):
            raise ValueError("No sentence has an answer: switch image question answering off (model: task_qa: false).")
        answers = {"id2label": dict(enumerate(data.answers))} if data.answers else {"num_qa_labels": 1}
        return LxmertConfig(
            **(self.objectives.config_fields() | self.model),
            **answers,
            vocab_size=len(data.processor.tokenizer),
            num_object_labels=data.object_labels,
            num_attr_labels=data.attribute_labels,
            visual_feat_dim=data.feature_dim,
        )

    def model_for(self, data: PretrainingData, folder: str | Path | None = None) -> tuple[LxmertForPreTraining, str]:
        """The model with its first weights, and what they are in words.

        Args:
            data: decides the sizes that the recipe leaves open.
            folder: that paths of `start` are relative to.

        Raises:
            FileNotFoundError, ValueError: weights that are not there or do not fit.
        """
        config = self.config(data)
        if not self.start:
            return LxmertForPreTraining(config), "Starting from random weights."
        places = {name: place_of(value, folder) for name, value in self.start.items()}
        if "bert" in places:
            model = LxmertForPreTraining(config)
            return model, str(start_language_encoder_from_bert(model, places["bert"]))
        if "answers" not in places:
            model = LxmertForPreTraining(config)
            return model, str(start_from_original(model, places["original"]))
        old = read_answer_list(places["answers"])
        model = LxmertForPreTraining(LxmertConfig(**config.to_dict() | _answers(old)))
        report = start_from_original(model, places["original"])
        return model, f"{report}\n{model.set_answers(data.answers, clean_answer)}"

    def task(self, data: PretrainingData) -> Task:
        """The record for the training loop."""
        assert isinstance(self.objectives, PretrainingObjectives)
        label2id = answer_ids(data.answers)
        seed = self.training.get("seed", TrainingSettings("unused").seed)
        # without the task nobody is told that a sentence does not fit, so all fit, as in the original
        unmatched_rate = self.objectives.unmatched_rate if self.model.get("task_matched", True) else 0.0
        common: dict[str, Any] = {"unmatched_rate": unmatched_rate, "seed": seed}
        training = PretrainingExamples(data.training, label2id, answers_from_epoch=self.answers_from_epoch, **common)
        kind, files = next(iter(self.data.items()))
        task, split = ("pre-training", ", ".join(files["training"])) if kind == "files" else (kind, "train")
        learned = TrainingData(task, split, len(training), f"{training.digest():016x}")
        return pretraining_task(
            self.name,
            training,
            PretrainingExamples(data.validation, label2id, **common),
            data.processor,
            data.regions,
            self.objectives,
            self.max_length,
            (TrainingDataCard("LXMERT, pre-trained", (learned,), pipeline_tag=None),),
        )


def read_recipe(path: str | Path, **training: Any) -> PretrainingRecipe:
    """A recipe out of a YAML file; its name is the file's.

    Args:
        path: of the file.
        training: fields of `TrainingSettings` instead of the file's.

    Raises:
        FileNotFoundError: the file is not there.
        TypeError, ValueError: as `PretrainingRecipe`, with the file's name.
    """
    path = Path(path)
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping of fields, got {type(content).__name__}.")
    try:
        check_fields("recipe", content, {f.name for f in fields(PretrainingRecipe)})
        content["training"] = (content.get("training") or {}) | training
        values: dict[str, Any] = {"name": path.stem} | content
        return PretrainingRecipe(**values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def _answers(answers: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(answers)), "label2id": None, "num_qa_labels": None}


def _objectives(value: PretrainingObjectives | str | dict[str, Any]) -> PretrainingObjectives:
    if isinstance(value, PretrainingObjectives):
        return value
    if isinstance(value, str):
        if value not in OBJECTIVES:
            raise ValueError(f"objectives must be one of {', '.join(OBJECTIVES)}, or rates, got {value!r}.")
        return OBJECTIVES[value]
    check_fields("objectives", value, {f.name for f in fields(PretrainingObjectives)})
    return PretrainingObjectives(**value)
