"""One question about one image with all that explains its answer: what pictures and pages of explanations show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.processing import LxmertProcessor, Regions
from lxmert.processing.images import load_image
from lxmert.processing.region_extractor import ImageInput
from lxmert.visualization.answer_relevance import Answer, Relevance, answers_of, relevance, scores_of
from lxmert.visualization.attention import AttentionRecord, attention_record
from lxmert.visualization.relevance_rules import METHODS, Method

MOST_ANSWERS = 3  # that are explained, if not told which


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model answered to a question about an image, and on what the answers rest.

    Args:
        image: the picture, or None where there are only regions.
        question: the text.
        regions: R of them.
        record: every attention map of this pair, T wordpieces and R regions.
        answers: (answer, probability), all that the model has, the likeliest first; a text that several of them have is
            followed by the class id.
        relevances: by method and answer, for the answers that are explained; each of one pair, (1, T) and (1, R).
    """

    image: ImageInput | None
    question: str
    regions: Regions
    record: AttentionRecord
    answers: tuple[tuple[str, float], ...]
    relevances: Mapping[Method, Mapping[str, Relevance]]

    @property
    def words(self) -> tuple[str, ...]:
        """The T wordpieces, [CLS] and [SEP] included."""
        return self.record.words[0]

    @property
    def explained(self) -> tuple[str, ...]:
        """The answers that are explained, the first asked for first."""
        return tuple(next(iter(self.relevances.values()), {}))


def explain(
    model: Any,
    processor: LxmertProcessor,
    image: ImageInput | None,
    question: str,
    regions: Regions | None = None,
    answers: Answer | Sequence[Answer] | None = None,
    methods: Method | Sequence[Method] = METHODS,
) -> Explanation:
    """Answer a question about an image and explain the answers.

    Args:
        model: with a head that answers questions about one image.
        processor: with a region extractor, unless `regions` are given.
        image: the picture, or None where there are only regions.
        question: the text.
        regions: of the picture, instead of extracting them.
        answers: class id or text of the one to explain, or of several; by default the three likeliest.
        methods: of `relevance`, one or several.

    Raises:
        TypeError: see `relevance`.
        ValueError: neither a picture nor regions, a picture of another size than its regions, no region extractor, no
            answers or methods to explain with, and what `relevance` raises.
    """
    found = _regions_of(processor, image, regions)
    if isinstance(answers, (int, str, np.integer)):
        answers = [answers]
    if isinstance(methods, str):
        methods = [methods]
    if not methods or (answers is not None and not len(answers)):
        raise ValueError("answers and methods must name one each at least, or be left out.")
    inputs = dict(processor(text=[question], regions=[found]).to(model.device))
    record = attention_record(model, inputs, processor, found)
    with evaluating(model), torch.no_grad():
        scores = scores_of(model(**inputs, return_dict=True)).float()[:1]
    probabilities = scores.softmax(-1)[0].cpu().numpy()
    ranked = (-probabilities).argsort(kind="stable").tolist()
    wanted = ranked[:MOST_ANSWERS]
    if answers is not None:
        wanted = [answers_of(model, answer, scores)[0] for answer in answers]
    labels = _names(model.config.id2label)
    return Explanation(
        image=image,
        question=question,
        regions=found,
        record=record,
        answers=tuple((labels[number], float(probabilities[number])) for number in ranked),
        relevances={
            method: {labels[number]: relevance(model, inputs, number, method) for number in wanted}
            for method in methods
        },
    )


def _names(labels: Mapping[int, str]) -> dict[int, str]:
    """Answers by class id, told apart where they have the same text."""
    counts = Counter(labels.values())
    return {number: text if counts[text] == 1 else f"{text} ({number})" for number, text in labels.items()}


def _regions_of(processor: LxmertProcessor, image: ImageInput | None, regions: Regions | None) -> Regions:
    if image is None and regions is None:
        raise ValueError("Give a picture, or the regions that were found in it: both are None.")
    if regions is None:
        if processor.region_extractor is None:
            raise ValueError(
                "The processor has no region extractor: build it with LxmertProcessor(tokenizer, extractor), or give "
                "regions."
            )
        return processor.region_extractor([image])[0]
    if image is not None:
        check_size(image, regions)
    return regions


def check_size(image: ImageInput, regions: Regions) -> np.ndarray:
    """The picture (H, W, 3), uint8.

    Raises:
        ValueError: it has another size than the image that the regions were found in.
    """
    picture = np.asarray(load_image(image))
    height, width = regions.image_size
    if picture.shape[:2] != (height, width):
        raise ValueError(
            f"image has {picture.shape[0]} x {picture.shape[1]} pixels (height x width), but the regions were found in "
            f"one of {height} x {width}: give the same picture, or let the processor find the regions."
        )
    return picture
