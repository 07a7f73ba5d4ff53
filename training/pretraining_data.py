"""What pre-training learns from: records, regions, answers and a tokenizer, out of three kinds of sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import pyarrow.compute
from transformers import AutoTokenizer
from transformers.utils import logging

from lxmert.detection import ShapeRegionExtractor, extract_regions
from lxmert.processing import (
    LxmertProcessor,
    Question,
    RecordReport,
    RegionSource,
    RegionStore,
    build_answer_table,
    check_records,
    open_regions,
    read_answer_list,
    read_records,
    train_wordpiece_tokenizer,
)
from lxmert.training import nlvr
from lxmert.training.easy_vqa import read_easy_vqa

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class PretrainingData:
    """Checked data, ready for `PretrainingExamples`.

    Args:
        training: image-text-answer records to learn from.
        validation: records about other images.
        regions: regions of all images.
        processor: tokenizer, and region extractor where regions come from pictures.
        answers: the answer table.
        object_labels: number of the detector's object classes.
        attribute_labels: number of its attributes.
        feature_dim: width of a region's features.
        report: what was left out, by reason.
    """

    training: datasets.Dataset
    validation: datasets.Dataset
    regions: RegionSource
    processor: LxmertProcessor
    answers: list[str]
    object_labels: int
    attribute_labels: int
    feature_dim: int
    report: RecordReport


def records_of_questions(source: str, *parts: Sequence[Question]) -> tuple[list[datasets.Dataset], RecordReport]:
    """Parts of a question data set as image-text-answer records, and how many there are."""
    records, report = [], RecordReport()
    for examples in parts:
        columns: dict[str, list[str]] = {
            "image_id": [example.image_id for example in examples],
            "sentence": [example.text for example in examples],
            "answer": [example.answer or "" for example in examples],
            "source": [source] * len(examples),
        }
        part, read = read_records(datasets.Dataset.from_dict(columns), progress=False)
        records.append(part)
        report.add(read)
    return records, report


def easy_vqa_data(work: Path, validation_images: int = 200, progress: bool = True) -> PretrainingData:
    """easy-VQA's drawings and questions; shapes and colours, told by rules from the pixels, are the detected labels.

    Args:
        work: folder for the regions; found there, they are used again.
        validation_images: number of training images that validate.
        progress: show a bar while regions are extracted.

    Raises:
        ModuleNotFoundError: the package `easy-vqa` is not installed.
        FileExistsError: `work` holds regions of other images or settings.
    """
    data = read_easy_vqa(validation_images)
    extractor = ShapeRegionExtractor()
    store, _ = extract_regions(data.images, extractor, work / "regions", progress=progress)
    tokenizer = train_wordpiece_tokenizer([example.text for example in data.training], model_max_length=32)
    records, report = records_of_questions("easy_vqa", data.training, data.validation)
    return PretrainingData(
        training=records[0],
        validation=records[1],
        regions=store,
        processor=LxmertProcessor(tokenizer, extractor),
        answers=data.answers,
        object_labels=len(extractor.object_names),
        attribute_labels=len(extractor.attribute_names),
        feature_dim=extractor.feature_dim,
        report=report,
    )


def nlvr_data(work: Path, folder: str | Path, validation_directories: int = 8) -> PretrainingData:
    """NLVR v1's training scenes and sentences; shapes and colours are the detected labels, true and false the answers.

    Args:
        work: folder for the regions; found there, they are used again.
        folder: of the data set, see `read_nlvr`.
        validation_directories: number of training directories that validate.

    Raises:
        FileNotFoundError, ValueError: as `read_nlvr`.
        FileExistsError: `work` holds regions of other images.
    """
    data = nlvr.read_nlvr(folder, validation_directories)
    path, description = work / "regions", {"source": "NLVR v1, structured representation"}
    if path.exists():
        store = RegionStore(path)
        if store.description != description or store.keys() != data.scenes.keys():
            raise FileExistsError(f"{path} holds regions of other images: remove it or choose another folder.")
    else:
        scenes = (nlvr.scene_regions(image_id, scene) for image_id, scene in data.scenes.items())
        store = RegionStore.create(path, scenes, description)
    tokenizer = train_wordpiece_tokenizer([example.text for example in data.training], model_max_length=64)
    records, report = records_of_questions("nlvr", data.training, data.validation)
    return PretrainingData(
        training=records[0],
        validation=records[1],
        regions=store,
        processor=LxmertProcessor(tokenizer),
        answers=nlvr.ANSWERS,
        object_labels=len(nlvr.SHAPES),
        attribute_labels=len(nlvr.COLOURS),
        feature_dim=nlvr.FEATURE_DIM,
        report=report,
    )


def file_data(
    work: Path,
    folder: str | Path,
    training: Sequence[str],
    validation: Sequence[str],
    regions: Sequence[str],
    answers: str | None = None,
    minimum_answer_count: int = 1,
    tokenizer: str = "google-bert/bert-base-uncased",
    object_labels: int = 1600,
    attribute_labels: int = 400,
    bad_rows: Literal["raise", "skip"] = "raise",
) -> PretrainingData:
    """Records and regions out of files.

    Args:
        work: folder for tables and indices; found there, they are used again.
        folder: the other paths are relative to it.
        training: files of image-text-answer records, see `read_records`.
        validation: likewise, about other images.
        regions: region files in the original's TSV format, region stores, or both.
        answers: file of the answer table; None builds one out of the training records.
        minimum_answer_count: of an answer in a table that is built; rarer ones are left out and counted.
        tokenizer: a folder or name on the Hub of a BERT tokenizer, or "train" to learn wordpieces from the sentences.
        object_labels: number of the detector's object classes.
        attribute_labels: number of its attributes.
        bad_rows: "raise" stops at rows that cannot be used and names them; "skip" leaves them out and counts them.

    Raises:
        FileNotFoundError: a file is not there.
        TypeError: a file name in place of a list of them, or a count that is no number.
        ValueError: rows that cannot be used.
    """
    for name, value in (("training", training), ("validation", validation), ("regions", regions)):
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise TypeError(f"{name} must be a list of files, [a.jsonl, b.jsonl], got {value!r}.")
    for name, count in (
        ("minimum_answer_count", minimum_answer_count),
        ("object_labels", object_labels),
        ("attribute_labels", attribute_labels),
    ):
        if not isinstance(count, int):
            raise TypeError(f"{name} must be a whole number, got {count!r}.")
    folder, cache = Path(folder), work / "records"
    total = RecordReport()
    paths = [folder / name for name in regions]
    source = open_regions(paths, work, bad_rows, object_labels, attribute_labels, total)
    read = [
        read_records(*(folder / name for name in names), bad_rows=bad_rows, cache_dir=cache)
        for names in (training, validation)
    ]
    table = read_answer_list(folder / answers) if answers else _built_table(read[0][0], minimum_answer_count)
    parts = []
    for records, report in read:
        given = table if answers else None
        part, checked = check_records(records, source, given, bad_rows, cache_dir=cache, report=report)
        if table and not answers:  # a table that was built leaves rare answers out on purpose; they are counted
            part, checked = check_records(part, source, table, "skip", cache_dir=cache, report=checked)
        parts.append(part)
        total.add(checked)
    _warn_of_shared_images(*parts)
    return PretrainingData(
        training=parts[0],
        validation=parts[1],
        regions=source,
        processor=LxmertProcessor(_tokenizer(tokenizer, folder, parts[0])),
        answers=table,
        object_labels=object_labels,
        attribute_labels=attribute_labels,
        feature_dim=source[parts[0][0]["image_id"]].features.shape[1],
        report=total,
    )


def _built_table(records: datasets.Dataset, minimum_count: int) -> list[str]:
    """The answers of the records; none for captions alone."""
    counts = pyarrow.compute.list_value_length(records.data.column("answers"))
    return build_answer_table(records, minimum_count) if pyarrow.compute.max(counts).as_py() else []


def _tokenizer(name: str, folder: Path, records: datasets.Dataset) -> Any:
    if name == "train":
        return train_wordpiece_tokenizer(record["sentence"] for record in records)
    return AutoTokenizer.from_pretrained(folder / name if (folder / name).is_dir() else name)


def _warn_of_shared_images(training: datasets.Dataset, validation: datasets.Dataset) -> None:
    """Images that are learned from say little when they are held out."""
    images = [set(pyarrow.compute.unique(part.data.column("image_id")).to_pylist()) for part in (training, validation)]
    if shared := images[0] & images[1]:
        logger.warning(
            "%d of the %d images that validate are also learned from, such as %r: the held-out figures flatter.",
            len(shared),
            len(images[1]),
            min(shared),
        )
