"""What a checkpoint has learned from, in its model card, and a warning where it is judged by the same."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from lxmert.processing import Question
from lxmert.training.question_answering import digest_of

logger = logging.getLogger(__name__)

FIELD = "training_data"  # of the card's metadata


@dataclass(frozen=True)
class TrainingData:
    """One part of what a model has learned from.

    Args:
        task: such as "vqa".
        split: such as "train", or the name of a file.
        questions: how many questions or sentences.
        digest: tells the same questions from others, see `digest_of`.
    """

    task: str
    split: str
    questions: int
    digest: str

    @classmethod
    def of(cls, task: str, split: str, questions: Sequence[Question]) -> "TrainingData":
        """The entry for some questions."""
        return cls(task, split, len(questions), digest_of(questions))


@dataclass(frozen=True)
class TrainingDataCard:
    """A model card that says what the model has learned from; written beside the weights as README.md.

    Args:
        title: the card's headline.
        data: what the model has learned from, that of the checkpoint it started from included.
        withhold: "image" or "question" if the model was trained without it, an ablation.
        pipeline_tag: the Hub's name of what the model does.
    """

    title: str
    data: tuple[TrainingData, ...]
    withhold: str | None = None
    pipeline_tag: str | None = "visual-question-answering"

    def save_pretrained(self, save_directory: str, /) -> None:
        """Write README.md to a folder."""
        fields_of_ours: dict[str, Any] = {FIELD: [asdict(entry) for entry in self.data]}
        metadata = ModelCardData(
            library_name="lxmert",
            pipeline_tag=self.pipeline_tag,
            tags=["lxmert", *dict.fromkeys(entry.task for entry in self.data)],
            **fields_of_ours,
        )
        lines = ["---", metadata.to_yaml(), "---", "", f"# {self.title}", "", "Learned from:", ""]
        lines += ["| task | split | questions |", "|---|---|---|"]
        lines += [f"| {entry.task} | {entry.split} | {entry.questions:,} |" for entry in self.data]
        if self.withhold:
            lines += ["", f"Trained with the {self.withhold} withheld: an ablation."]
        Path(save_directory, "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def training_data_of(checkpoint: str | Path) -> tuple[TrainingData, ...]:
    """What the card of a checkpoint says it has learned from; nothing where there is no such card.

    Args:
        checkpoint: folder, or name on the Hub.
    """
    folder = Path(checkpoint)
    try:
        if folder.is_dir():
            card = ModelCard.load(folder / "README.md", ignore_metadata_errors=True)
        else:
            card = ModelCard.load(str(checkpoint), ignore_metadata_errors=True)
        entries: Any = card.data.to_dict().get(FIELD, [])
    except (OSError, ValueError, yaml.YAMLError, HfHubHTTPError, HFValidationError):  # no card, or none that is read
        return ()
    names = {entry.name for entry in fields(TrainingData)}
    listed = entries if isinstance(entries, list) else []
    known = [entry for entry in listed if isinstance(entry, dict) and entry.keys() >= names]
    return tuple(TrainingData(**{name: entry[name] for name in names}) for entry in known)


def warn_if_trained_on(checkpoint: str | Path, task: str, split: str, questions: Sequence[Question]) -> str | None:
    """Warn that figures flatter, where the card says that the checkpoint has learned from these questions.

    Args:
        checkpoint: folder, or name on the Hub.
        task: of the questions.
        split: of the questions.
        questions: to be answered.

    Returns:
        What was warned of, or None.
    """
    digest = None
    for entry in training_data_of(checkpoint):
        if digest is None:
            digest = digest_of(questions)
        if digest == entry.digest or (task, split) == (entry.task, entry.split):
            message = (
                f"{checkpoint} has learned from {entry.task} {entry.split} ({entry.questions:,} questions), says its "
                f"card: figures on {task} {split} tell what it remembers, not what it can do. Take another split."
            )
            logger.warning(message)
            return message
    return None
