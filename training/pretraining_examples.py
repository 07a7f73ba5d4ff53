"""Image-sentence pairs of pre-training, some of them mismatched on purpose (section 3.1.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute

from lxmert.training.batches import stable_seed

NO_ANSWER = -1
DIGESTED = 10_000


@dataclass(frozen=True)
class PretrainingExample:
    """One pair as it is shown to the model, before masking.

    Args:
        image_id: of the image.
        sentence: about this image if `matched`, else about another one.
        matched: whether the sentence belongs to the image.
        answer: class id of an answer to the sentence, -1 for none.
        other_image_id: another image, whose regions replace masked ones; drawn apart from the sentence.
        draw: seed, epoch and index; the masks follow from them.
    """

    image_id: str
    sentence: str
    matched: bool
    answer: int
    other_image_id: str
    draw: tuple[int, int, int]

    def generator(self, purpose: int) -> np.random.Generator:
        """The randomness of this example for one purpose: the same wherever and whenever it is asked for."""
        return np.random.default_rng([*self.draw, purpose])

    def __str__(self) -> str:
        return f"image {self.image_id!r}, sentence {self.sentence!r}"


class PretrainingExamples(Sequence[PretrainingExample]):
    """A sequence of pairs drawn from records; every epoch draws anew.

    What is drawn for one record depends on the seed, the epoch and the record's row alone: neither on the batch it
    falls into, nor on the process that loads it.

    Args:
        records: image-text-answer records, see `lxmert.processing.records`.
        label2id: class ids by answer, see `answer_ids`; answers that it lacks are left out.
        unmatched_rate: share of the records whose sentence is replaced by one about another image.
        answers_from_epoch: answers are withheld in the epochs before this one (section 3.3: the paper adds image
            question answering in the last 10 of 20 epochs).
        seed: of the randomness.

    Raises:
        ValueError: no record, or all about one image: another one is needed to mismatch and to replace regions.
    """

    def __init__(
        self,
        records: datasets.Dataset,
        label2id: dict[str, int],
        unmatched_rate: float = 0.5,
        answers_from_epoch: int = 0,
        seed: int = 9595,
    ):
        if not len(records):
            raise ValueError("records holds no record.")
        if pyarrow.compute.count_distinct(records.data.column("image_id")).as_py() < 2:
            raise ValueError("records holds one image only: mismatched pairs and replaced regions need another one.")
        self.records = records
        self.label2id = label2id
        self.unmatched_rate = unmatched_rate
        self.answers_from_epoch = answers_from_epoch
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PretrainingExample:  # type: ignore[override]  # no slices
        """The pair that never changes, for validation: answers are there whatever the epoch."""
        return self._draw(0, range(len(self))[index], with_answers=True)

    def draw(self, epoch: int, index: int) -> PretrainingExample:
        """The pair of one record in one epoch."""
        return self._draw(epoch, index, with_answers=epoch >= self.answers_from_epoch)

    def images(self) -> pa.ChunkedArray:
        """The image ids (N,) of all pairs, which no draw changes."""
        return self.records.with_format("arrow")["image_id"][:]

    def digest(self) -> int:
        """A number that tells these examples from others, by up to 10,000 evenly spaced records."""
        rows = np.linspace(0, len(self) - 1, min(len(self), DIGESTED)).round().astype(int).tolist()
        columns = self.records.select_columns(["image_id", "sentence"])[rows]
        return stable_seed(len(self), *columns["image_id"], *columns["sentence"])

    def _draw(self, epoch: int, index: int, with_answers: bool) -> PretrainingExample:
        record = self.records[index]
        draw = (self.seed, epoch, index)
        generator = np.random.default_rng([*draw, 0])
        matched = generator.random() >= self.unmatched_rate
        described = record if matched else self._another(record["image_id"], generator)
        other = self._another(record["image_id"], generator)
        answer = self._answer(record, generator) if matched and with_answers else NO_ANSWER
        return PretrainingExample(
            image_id=record["image_id"],
            sentence=described["sentence"],
            matched=matched,
            answer=answer,
            other_image_id=other["image_id"],
            draw=draw,
        )

    def _another(self, image_id: str, generator: np.random.Generator) -> dict:
        """A record about another image, all with equal chances."""
        while True:
            record = self.records[int(generator.integers(len(self.records)))]
            if record["image_id"] != image_id:
                return record

    def _answer(self, record: dict, generator: np.random.Generator) -> int:
        """One of the record's answers, in proportion to its score."""
        known = [
            (self.label2id[answer], score)
            for answer, score in zip(record["answers"], record["scores"], strict=True)
            if answer in self.label2id and score > 0
        ]
        if not known:
            return NO_ANSWER
        answers, scores = zip(*known, strict=True)
        # a chance in [0, total) falls into one answer's share
        share = np.searchsorted(np.cumsum(scores), generator.random() * sum(scores), side="right")
        return answers[min(int(share), len(answers) - 1)]
