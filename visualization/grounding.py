"""Which regions each word of a sentence means, as data (not in the paper)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lxmert.processing import LxmertProcessor, Regions
from lxmert.processing.region_extractor import ImageInput

BATCH_SIZE = 32
MEANT = 0.5  # probability above which a word means a region
MOST_WORDS = 4
# Words that seldom name what is in a picture: a phrase's meaning is learned at its head, and these are no heads.
FUNCTION_WORDS = frozenset(
    (
        *("a", "an", "the", "this", "that", "these", "those", "there", "it", "its", "they", "them", "which", "where"),
        *("is", "are", "was", "were", "be", "being", "has", "have", "having", "do", "does", "not", "no", "none"),
        *("of", "in", "on", "at", "to", "from", "by", "with", "without", "and", "or", "but", "as", "than", "if", "so"),
        *("all", "any", "both", "each", "every", "either", "neither", "only", "just", "exactly", "nearly", "closely"),
        *("least", "most", "more", "less", "fewer", "other", "another", "same", "different", "many", "multiple"),
        *("contain", "contains", "containing", "include", "includes", "including"),
        *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    )
)


@dataclass(frozen=True)
class Grounding:
    """A sentence about an image, what each of its words means there, and the answer.

    Args:
        image: a picture, or None where there is none to show.
        sentence: the text.
        regions: of the image.
        words: of the sentence, punctuation marks included, as the tokenizer splits it.
        probabilities: (W, R), that a word means a region; a word's are those of its first wordpiece, where the head is
            trained.
        answers: (answer, probability), the likeliest first; empty where the model has no answer head.
        truth: the right answer, where it is known.
        caption: what else to say about the sentence.
    """

    image: ImageInput | None
    sentence: str
    regions: Regions
    words: tuple[str, ...]
    probabilities: np.ndarray
    answers: tuple[tuple[str, float], ...]
    truth: str | None = None
    caption: str = ""

    def meant(self, word: int) -> np.ndarray:
        """(R,) of bool, the regions that the word at a position means."""
        return self.probabilities[word] > MEANT


@torch.inference_mode()
def ground_words(
    model: Any,
    processor: LxmertProcessor,
    images: Sequence[ImageInput | None] | None,
    sentences: Sequence[str],
    truths: Sequence[str | None] | None = None,
    regions: Sequence[Regions] | None = None,
    progress: bool = False,
) -> list[Grounding]:
    """Ask a model which regions each word of a sentence means, and whether the sentence is true.

    Args:
        model: `LxmertForPreTraining` with `config.task_grounding`, in evaluation mode.
        processor: with a region extractor, unless `regions` are given.
        images: N pictures; None, or None in place of a picture, where there are only regions.
        sentences: N sentences.
        truths: N right answers, where they are known.
        regions: N times the `Regions` of the pictures, instead of extracting them.
        progress: show a bar with time left.

    Raises:
        ValueError: a model without grounding head; pictures, sentences and truths of different number; neither regions
            nor a region extractor.
    """
    _check(model, processor, images, sentences, truths, regions)
    found: list[Grounding] = []
    with tqdm(total=len(sentences), desc="Grounding words", unit=" sentences", disable=not progress) as bar:
        for start in range(0, len(sentences), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            texts = list(sentences[part])
            pictures = [None] * len(texts) if images is None else list(images[part])
            here = list(regions[part]) if regions is not None else processor.region_extractor(pictures)  # type: ignore
            rights = [None] * len(texts) if truths is None else list(truths[part])
            found += _ground(model, processor, pictures, texts, rights, here)
            bar.update(len(texts))
    return found


def _check(
    model: Any, processor: LxmertProcessor, images: Any, sentences: Sequence[str], truths: Any, regions: Any
) -> None:
    if not getattr(model.config, "task_grounding", False) or not hasattr(model, "grounding_head"):
        raise ValueError(
            f"model is a {type(model).__name__} without a grounding head: load a checkpoint whose config.json says "
            '"task_grounding": true, such as one of benchmarks/nlvr.py, with LxmertForPreTraining.'
        )
    if images is None and regions is None:
        raise ValueError("Give images, or regions that were found in them: both are None.")
    if regions is None and processor.region_extractor is None:
        raise ValueError(
            "The processor has no region extractor: build it with LxmertProcessor(tokenizer, extractor), or give "
            "regions."
        )
    given = {"images": images, "regions": regions, "truths": truths}
    for name, values in given.items():
        if values is not None and len(values) != len(sentences):
            raise ValueError(
                f"Give one of {name} for each sentence, got {len(values)} {name} and {len(sentences)} sentences."
            )


def _ground(
    model: Any,
    processor: LxmertProcessor,
    images: Sequence[ImageInput | None],
    sentences: list[str],
    truths: Sequence[str | None],
    regions: list[Regions],
) -> list[Grounding]:
    inputs = processor(text=sentences, regions=regions).to(model.device)
    output = model(**inputs)
    probabilities = output.grounding_logits.float().sigmoid().cpu().numpy()  # (B, T, R)
    scores = output.question_answering_score
    answers = np.zeros((len(sentences), 0)) if scores is None else scores.float().softmax(-1).cpu().numpy()
    found = []
    for row, sentence in enumerate(sentences):
        words, places = _words(processor, sentence)
        ranked = (-answers[row]).argsort(kind="stable").tolist()
        found.append(
            Grounding(
                image=images[row],
                sentence=sentence,
                regions=regions[row],
                words=words,
                probabilities=probabilities[row, places, : len(regions[row])],
                answers=tuple((model.config.id2label[label], float(answers[row, label])) for label in ranked),
                truth=truths[row],
            )
        )
    return found


def _words(processor: LxmertProcessor, sentence: str) -> tuple[tuple[str, ...], list[int]]:
    """The words as they are written, and where the first wordpiece of each stands among the input ids."""
    encoded = processor.tokenizer(sentence, return_offsets_mapping=True, verbose=False)
    spans: dict[int, tuple[int, int]] = {}
    places: dict[int, int] = {}
    for place, (word, (start, end)) in enumerate(zip(encoded.word_ids(), encoded["offset_mapping"], strict=True)):
        if word is not None:
            spans[word] = spans.get(word, (start, end))[0], end
            places.setdefault(word, place)
    return tuple(sentence[start:end] for start, end in spans.values()), list(places.values())


def content_words(grounding: Grounding, most: int = MOST_WORDS, skip: Collection[str] = FUNCTION_WORDS) -> list[int]:
    """Positions of the words to show, in the sentence's order: those that mean a region and are not skipped.

    Of too many, first those go that mean the same regions as a later one ("blue" in "blue block" where all that is
    blue is a block), then those that the model is less sure of.

    Args:
        grounding: of the sentence.
        most: number of words.
        skip: words in small letters that are not shown.
    """
    chosen = [
        word
        for word, text in enumerate(grounding.words)
        if text.lower() not in skip and any(map(str.isalpha, text)) and grounding.meant(word).any()
    ]
    last = {grounding.meant(word).tobytes(): word for word in chosen}

    def rank(word: int) -> tuple[bool, float]:
        return last[grounding.meant(word).tobytes()] != word, -float(grounding.probabilities[word].max())

    return sorted(sorted(chosen, key=rank)[:most])
