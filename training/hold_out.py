"""Splitting questions in two, so that no image is in both parts."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from lxmert.processing import Question, QuestionTable


class HeldOut(NamedTuple):
    """Questions split by images; `str` says how, in words.

    Args:
        training: to learn from, in their order.
        validation: about other images, in their order.
    """

    training: Sequence[Question]
    validation: Sequence[Question]

    def __str__(self) -> str:
        held, kept = (set(chain.from_iterable(_images(part))) for part in (self.validation, self.training))
        count, total = len(self.validation), len(self.validation) + len(self.training)
        text = (
            f"Held out {count:,} of {total:,} questions ({100 * count / total:.1f} %), all those about {len(held):,} "
            f"of {len(held) + len(kept):,} images; no image is in both parts."
        )
        unseen = _answers(self.validation) - _answers(self.training)
        if unseen:
            text += f" Answers that are right in the held-out part only: {len(unseen):,}, such as {min(unseen)!r}."
        return text


def hold_out(questions: Sequence[Question], share: float = 0.1, seed: int = 0) -> HeldOut:
    """Hold out some questions to choose a checkpoint by, with all other questions about their images.

    Questions about the same image are much alike; were some of them learned, the others would be answered too well.
    Images that a question about a pair joins stay together as well. Which images are held out follows from their ids
    and the seed, whatever the order of the questions.

    Args:
        questions: a list or a `QuestionTable`; the parts are of the same kind.
        share: of the questions to hold out, above 0 and below 1; met as closely as whole images allow.
        seed: chooses the images.

    Raises:
        ValueError: another share, or fewer than two images (two groups of images, where questions join them).
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie above 0 and below 1, got {share}.")
    images = _images(questions)
    groups = _groups(images)
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    if len(sizes) < 2:
        names = sorted({image_id for pair in images for image_id in pair})
        what = f"about the one image {names[0]!r}" if len(names) == 1 else "joined by images that they share"
        what = f"are {len(questions):,} questions, all {what}" if names else "is empty"
        raise ValueError(f"questions {what}: holding some out takes at least two images.")
    chosen = _choose(sizes, share * len(questions), seed)
    parts = [[row for row, group in enumerate(groups) if (group in chosen) is held] for held in (False, True)]
    if isinstance(questions, QuestionTable):
        return HeldOut(*map(questions.select, parts))
    return HeldOut(*([questions[row] for row in part] for part in parts))


def _images(questions: Sequence[Question]) -> list[Sequence[str]]:
    if isinstance(questions, QuestionTable):
        return questions.column("image_ids")
    return [question.image_ids for question in questions]


def _answers(questions: Sequence[Question]) -> set[str]:
    """The answers that stand for all."""
    if isinstance(questions, QuestionTable):
        return {answers[0] for answers in questions.column("answers") if answers}
    return {question.answer for question in questions if question.answer is not None}


def _groups(images: Iterable[Sequence[str]]) -> list[str]:
    """For each question the smallest id of all images that its own are joined with."""
    parents: dict[str, str] = {}

    def root(image_id: str) -> str:
        parents.setdefault(image_id, image_id)
        while parents[image_id] != image_id:
            parents[image_id] = parents[parents[image_id]]
            image_id = parents[image_id]
        return image_id

    first = []
    for pair in images:
        first.append(pair[0])
        for other in pair:
            low, high = sorted((root(pair[0]), root(other)))
            parents[high] = low
    return [root(image_id) for image_id in first]


def _choose(sizes: dict[str, int], wanted: float, seed: int) -> set[str]:
    """Groups in an order that the seed shuffles, each taken if it brings the number of questions nearer."""
    order = sorted(sizes, key=lambda group: hashlib.blake2b(f"{seed} {group}".encode()).digest())
    chosen: list[str] = []
    held = 0
    for group in order:
        if abs(held + sizes[group] - wanted) < abs(held - wanted):
            chosen.append(group)
            held += sizes[group]
    if not chosen:  # all are far larger than wanted
        chosen = [min(order, key=lambda group: sizes[group])]
    if len(chosen) == len(sizes):
        chosen.remove(min(chosen, key=lambda group: sizes[group]))
    return set(chosen)
