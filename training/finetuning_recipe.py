"""Fine-tuning recipes: YAML files that say which task is learned from what, from which weights, and how."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert import (
    LxmertForQuestionAnswering,
    LxmertPreTrainedModel,
    start_from_original,
    start_language_encoder_from_bert,
)
from lxmert.processing import (
    LxmertProcessor,
    Question,
    RegionSource,
    answer_ids,
    build_answer_vocabulary,
    clean_answer,
    read_answer_list,
    train_wordpiece_tokenizer,
)
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.training.collator import Withheld
from lxmert.training.finetuning_data import FineTuningData, RegionChoice, find_regions, first_process, join_questions
from lxmert.training.hold_out import hold_out
from lxmert.training.question_answering import question_answering_task
from lxmert.training.recipe_fields import check_fields, place_of
from lxmert.training.retrieval import retrieval_task
from lxmert.training.settings import TrainingSettings
from lxmert.training.task import Task
from lxmert.training.task_readers import QuestionSet
from lxmert.training.tasks import TASKS, FineTuningTask
from lxmert.training.training_data_card import TrainingData, TrainingDataCard, training_data_of

DATA = {"training", "validation", "test", "images", "hold_out"}
START = {"checkpoint", "bert", "original", "answers"}
DROPOUT = {"hidden_dropout_prob", "attention_probs_dropout_prob"}  # what may differ from a checkpoint's configuration
FROM_DATA = {"vocab_size", "num_qa_labels", "id2label", "label2id", "visual_feat_dim"}
ORIGINAL_TOKENIZER = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class FineTuningRecipe:
    """One fine-tuning run, except for where its files lie.

    Args:
        name: of the run.
        task: a name in `TASKS`.
        data: `training`, `validation` and `test`: splits, or files of questions, one or a list; `images`: folder of
            the pictures; `hold_out`: share of the training images that validates where no `validation` is named;
            and what else the task's reader knows.
        regions: fields of `RegionChoice`; none for regions that the data set tells, or a checkpoint's extractor.
        start: nothing for random weights; `checkpoint`: folder or Hub name of an LXMERT, and, if it has no labels,
            `answers`: the list that it was trained with; `bert`: of a BERT for the language encoder; `original`: a
            `.pth` file of the original authors, and its `answers`. Paths may be relative to the folder of the data.
        model: fields of `LxmertConfig` that differ from the paper's size; of a checkpoint the dropout only.
        answers: `file` of the answer list, or `minimum_count` for one that is built out of the training questions.
        tokenizer: "train" learns wordpieces from the training questions; otherwise a folder or name on the Hub. A
            checkpoint or BERT brings its own.
        max_length: largest number of wordpieces, longer questions are cut; by default the task's.
        withhold: train without the "image" or the "question", an ablation.
        training: fields of `TrainingSettings` that differ from the task's.

    Raises:
        TypeError: an unknown field, named with the nearest known one.
        ValueError: an unknown task, or fields that do not go together.
    """

    name: str
    task: str
    data: dict[str, Any] = field(default_factory=dict)
    regions: dict[str, Any] = field(default_factory=dict)
    start: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = "train"
    max_length: int | None = None
    withhold: Withheld | None = None
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("data", "regions", "start", "model", "answers", "training"):
            if getattr(self, name) is None:  # an empty section
                object.__setattr__(self, name, {})
        if self.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}.")
        settings = set(inspect.signature(self.kind.read).parameters) - {"folder", "split", "work", "images"}
        check_fields("data", self.data, DATA | settings)
        check_fields("regions", self.regions, {entry.name for entry in fields(RegionChoice)})
        check_fields("start", self.start, START)
        sizes = {entry.name for entry in fields(LxmertConfig)} - FROM_DATA
        check_fields("model", self.model, DROPOUT if "checkpoint" in self.start else sizes)
        check_fields("answers", self.answers, {"file", "minimum_count"})
        known = {entry.name for entry in fields(TrainingSettings)} - {"output_dir", "resume"}
        check_fields("training", self.training, known)
        self._check_values()

    def _check_values(self) -> None:
        RegionChoice(**self.regions)
        self.settings("unused")
        sources = sorted({"checkpoint", "bert", "original"} & self.start.keys())
        if len(sources) > 1:
            raise ValueError(f"start must be one of checkpoint, bert and original, got {' and '.join(sources)}.")
        if "answers" in self.start and not {"checkpoint", "original"} & self.start.keys():
            raise ValueError("start.answers tells the answers of start.checkpoint or start.original: give one of them.")
        for name, value in self.start.items():
            if not isinstance(value, str):
                raise TypeError(f"start.{name} must be a path or name, got {value!r}.")
        if self.answers and self.kind.answers is not None:
            raise ValueError(f"Task {self.task} has the answers {', '.join(self.kind.answers)}: leave answers out.")
        if len(self.answers) > 1:
            raise ValueError("answers must be a file or a minimum_count to build a list with, got both.")
        if self.withhold not in (None, "image", "question"):
            raise ValueError(f'withhold must be "image", "question" or nothing, got {self.withhold!r}.')
        if not isinstance(self.longest, int) or isinstance(self.longest, bool) or self.longest < 3:
            raise ValueError(f"max_length must be a whole number of at least 3, got {self.longest!r}.")
        positions = self.model.get("max_position_embeddings", self.longest)
        if self.longest > positions:
            raise ValueError(f"max_length ({self.longest}) exceeds the model's max_position_embeddings ({positions}).")

    @property
    def kind(self) -> FineTuningTask:
        """The record of the task."""
        return TASKS[self.task]

    @property
    def longest(self) -> int:
        """Largest number of wordpieces in a question."""
        return self.kind.max_length if self.max_length is None else self.max_length

    def settings(self, output_dir: str | Path, **overrides: Any) -> TrainingSettings:
        """The settings of the loop, for one output folder."""
        return self.kind.settings(output_dir, **(self.training | overrides))

    def splits(self, part: str) -> tuple[str, ...]:
        """The names of the training, validation or test splits."""
        given = self.data.get(part)
        if given is not None:
            return (given,) if isinstance(given, str) else tuple(given)
        if part == "test":
            return () if self.kind.test_split is None else (self.kind.test_split,)
        default: tuple[str, ...] = getattr(self.kind, f"{part}_splits")
        return default

    def read(self, split: str, work: Path, folder: Path | None) -> QuestionSet:
        """The questions of one split."""
        keywords = {name: value for name, value in self.data.items() if name not in DATA}
        images = self.data.get("images")
        if images is not None:
            images = Path(place_of(images, folder))
        with first_process():
            return self.kind.read(folder, split, work, images, **keywords)

    def load_split(
        self, split: str, work: str | Path, folder: str | Path | None, extractor: RegionExtractor | None
    ) -> tuple[QuestionSet, RegionSource]:
        """The questions of one split and the regions of their images, to judge a finished model by.

        Args:
            split: a name that the task knows, or a file.
            work: folder for regions and tables; found there, they are used again.
            folder: where the data set lies.
            extractor: of the model's processor; the recipe's goes before it.

        Raises:
            ValueError, FileNotFoundError: as `load_data`.
        """
        folder, choice = None if folder is None else Path(folder), RegionChoice(**self.regions)
        found = self.read(split, Path(work), folder)
        return found, find_regions([found], choice, Path(work), folder, choice.make_extractor() or extractor)

    def load_data(self, work: str | Path, folder: str | Path | None = None, progress: bool = True) -> FineTuningData:
        """Read questions, find the regions of their images, list the answers, and check that all fits.

        Args:
            work: folder for regions and tables; found there, they are used again.
            folder: where the data set lies; easy-VQA needs none.
            progress: show bars with time left.

        Raises:
            ValueError: no split to learn from, records that cannot be used, images without regions.
            FileNotFoundError: a file is not there.
        """
        work, folder = Path(work), None if folder is None else Path(folder)
        names = {part: self.splits(part) for part in ("training", "validation", "test")}
        if not names["training"]:
            raise ValueError(f"Task {self.task}: say what to learn from (data: training: FILE, or --train FILE).")
        sets = {part: [self.read(split, work, folder) for split in splits] for part, splits in names.items()}
        questions = {part: [each.questions for each in found] for part, found in sets.items()}
        training, notes = dict(zip(names["training"], questions["training"], strict=True)), list[str]()
        if questions["validation"]:
            validation = join_questions(questions["validation"])
        else:
            held = hold_out(join_questions(questions["training"], same_ids=True), self.data.get("hold_out", 0.1))
            training, validation = {" + ".join(names["training"]): held.training}, held.validation
            notes.append(str(held))
        choice, everything = RegionChoice(**self.regions), [each for found in sets.values() for each in found]
        processor = self._processor(choice.make_extractor(), list(training.values()), folder)
        regions = find_regions(everything, choice, work, folder, processor.region_extractor, progress)
        if choice.files:  # whatever found them, the checkpoint's extractor did not
            processor = LxmertProcessor(processor.tokenizer)
        answers = self._answer_list(list(training.values()), folder)
        learned_from = ", ".join(f"{len(part):,} of {split}" for split, part in training.items())
        notes.append(f"Questions to learn from: {learned_from}; {len(validation):,} to choose a checkpoint by; ")
        notes[-1] += f"{len(answers):,} answers."
        return FineTuningData(
            training=training,
            validation=validation,
            test=join_questions(questions["test"]) if questions["test"] else None,
            regions=regions,
            processor=processor,
            answers=answers,
            sets=everything,
            notes=(*dict.fromkeys(note for each in everything for note in each.notes), *notes),
        )

    def model_for(self, data: FineTuningData, folder: str | Path | None = None) -> tuple[LxmertPreTrainedModel, str]:
        """The model with its first weights and the data's answers, and where they come from in words.

        Raises:
            FileNotFoundError, ValueError: weights that are not there or do not fit.
        """
        places = {name: place_of(value, folder) for name, value in self.start.items()}
        width = _feature_width(data)
        if "checkpoint" in places:
            model = self.kind.head.from_pretrained(places["checkpoint"], **self.model)
            if model.config.visual_feat_dim != width:
                raise ValueError(
                    f"{places['checkpoint']} was trained on features of width {model.config.visual_feat_dim}, these "
                    f"regions have {width}: take the extractor that it was trained with."
                )
            said = f"Starting from {places['checkpoint']}."
            if isinstance(model, LxmertForQuestionAnswering):
                if "answers" in places:
                    model.name_answers(read_answer_list(places["answers"]))
                said += f" {model.set_answers(data.answers, clean_answer, unnamed_rows='drop')}."
            return model, said
        sizes = {
            **self.model,
            "vocab_size": len(data.processor.tokenizer),
            "visual_feat_dim": width,
        }
        answering = issubclass(self.kind.head, LxmertForQuestionAnswering)
        if "original" in places and "answers" in places and answering:
            old = read_answer_list(places["answers"])
            model = self.kind.head(LxmertConfig(**sizes, id2label=dict(enumerate(old))))
            report = start_from_original(model, places["original"])
            return model, f"{report}\n{model.set_answers(data.answers, clean_answer)}."
        model = self.kind.head(
            LxmertConfig(**sizes, **({"id2label": dict(enumerate(data.answers))} if answering else {}))
        )
        if "original" in places:
            return model, str(start_from_original(model, places["original"]))
        if "bert" in places:
            return model, str(start_language_encoder_from_bert(model, places["bert"]))
        return model, "Starting from random weights."

    def task_for(self, data: FineTuningData, folder: str | Path | None = None) -> Task:
        """The record for the training loop."""
        learned = tuple(TrainingData.of(self.task, split, part) for split, part in data.training.items())
        checkpoint = self.start.get("checkpoint")
        before = () if checkpoint is None else training_data_of(place_of(checkpoint, folder))
        card = TrainingDataCard(
            f"LXMERT for {self.kind.title}",
            tuple(dict.fromkeys((*before, *learned))),
            self.withhold,
            "visual-question-answering" if issubclass(self.kind.head, LxmertForQuestionAnswering) else None,
        )
        parts = (
            join_questions(list(data.training.values()), same_ids=True),
            data.validation,
            data.processor,
            data.regions,
        )
        common: dict[str, Any] = {
            "withhold": self.withhold,
            "max_length": data.processor.tokenizer.model_max_length,
            "saved_with_model": (card,),
        }
        if self.kind.figures is None:
            return retrieval_task(self.name, *parts, **common, seed=self.settings("unused").seed)
        return question_answering_task(
            self.name,
            *parts,
            answer_ids(data.answers),
            id2label=dict(enumerate(data.answers)),
            figures=self.kind.figures,
            targets=self.kind.targets,
            known_answers_only=self.kind.answers is not None,
            **common,
        )

    def _processor(
        self, extractor: RegionExtractor | None, training: Sequence[Sequence[Question]], folder: Path | None
    ) -> LxmertProcessor:
        if "checkpoint" in self.start:
            place = place_of(self.start["checkpoint"], folder)
            saved = LxmertProcessor.from_pretrained(place)
            processor = LxmertProcessor(saved.tokenizer, extractor or saved.region_extractor)
            positions = LxmertConfig.from_pretrained(place).max_position_embeddings
        else:
            processor = LxmertProcessor(self._tokenizer(training, folder), extractor)
            positions = self.longest
        processor.tokenizer.model_max_length = min(self.longest, positions)
        return processor

    def _tokenizer(self, training: Sequence[Sequence[Question]], folder: Path | None) -> PreTrainedTokenizerBase:
        if "bert" in self.start:
            return AutoTokenizer.from_pretrained(place_of(self.start["bert"], folder))
        if self.tokenizer == "train" and "original" in self.start:
            return AutoTokenizer.from_pretrained(ORIGINAL_TOKENIZER)
        if self.tokenizer == "train":
            texts = (question.text for part in training for question in part)
            return train_wordpiece_tokenizer(texts, model_max_length=self.longest)
        return AutoTokenizer.from_pretrained(place_of(self.tokenizer, folder))

    def _answer_list(self, training: Sequence[Sequence[Question]], folder: Path | None) -> list[str]:
        if self.kind.answers is not None:
            return list(self.kind.answers)
        if "file" in self.answers:
            return read_answer_list(place_of(self.answers["file"], folder))
        minimum_count = self.answers.get("minimum_count", self.kind.minimum_answer_count)
        return build_answer_vocabulary(join_questions(training, same_ids=True), minimum_count)


def read_finetuning_recipe(path: str | Path, **changes: Any) -> FineTuningRecipe:
    """A recipe out of a YAML file; its name is the file's.

    Args:
        path: of the file.
        changes: fields that go before the file's; None leaves what the file says. Of `data`, `model` and `training`
            the fields in them; `regions`, `start` and `answers` as a whole, if anything in them is not None. A
            checkpoint brings its own sizes and extractor, so those of the file are left out then.

    Raises:
        FileNotFoundError: the file is not there.
        TypeError, ValueError: as `FineTuningRecipe`, with the file's name.
    """
    path = Path(path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping of fields, got {type(content).__name__}.")
    for name, value in changes.items():
        if isinstance(value, dict):
            value = {key: entry for key, entry in value.items() if entry is not None}
            if name in ("data", "model", "training"):
                value = (content.get(name) or {}) | value
        if value not in (None, {}):
            content[name] = value
    if (changes.get("start") or {}).get("checkpoint") is not None:
        content["model"] = {name: value for name, value in (content.get("model") or {}).items() if name in DROPOUT}
        if not any(value is not None for value in (changes.get("regions") or {}).values()):
            content.pop("regions", None)
    try:
        check_fields("recipe", content, {entry.name for entry in fields(FineTuningRecipe)})
        values: dict[str, Any] = {"name": path.stem} | content
        return FineTuningRecipe(**values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def _feature_width(data: FineTuningData) -> int:
    first = next(iter(data.training.values()))[0]
    return data.regions[first.image_id].features.shape[1]
