"""Image-text retrieval: pairs to learn matching from, and captions judged against all images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from lxmert.evaluation.retrieval import retrieval_figures
from lxmert.modeling_lxmert import LxmertForImageAndTextRetrieval
from lxmert.processing import LxmertProcessor, Question, RegionSource
from lxmert.processing.region_table import RegionPlaces
from lxmert.training.batches import stable_seed
from lxmert.training.collator import AnswerCollator, Withheld, without_image, without_question
from lxmert.training.feeding import question_images
from lxmert.training.question_answering import digest_of
from lxmert.training.task import ImageFeed, Saveable, Task

MATCHED, NOT_MATCHED = "matched", "not matched"


class MatchingPairs:
    """Captions with their image or, half of the time, another image's caption in their place (section 3.1.3).

    Args:
        captions: questions without answers.
        seed: of what is replaced by what; an epoch and a row give the same pair whenever they are asked for.

    Raises:
        ValueError: captions of one image only.
    """

    def __init__(self, captions: Sequence[Question], seed: int = 9595):
        self.captions = captions
        self.seed = seed
        if len({caption.image_ids for caption in captions}) < 2:
            raise ValueError("captions are about one image only: mismatched pairs need another one.")

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> Question:
        return self.draw(0, index)

    def draw(self, epoch: int, index: int) -> Question:
        """The pair of one caption's image in one epoch, with the answer "matched" or "not matched"."""
        caption = self.captions[index]
        generator = np.random.default_rng([self.seed, epoch, index])
        if generator.random() < 0.5:
            return Question(caption.image_ids, caption.text, {MATCHED: 1.0}, caption.question_id)
        while (other := self.captions[int(generator.integers(len(self)))]).image_ids == caption.image_ids:
            pass
        return Question(caption.image_ids, other.text, {NOT_MATCHED: 1.0}, caption.question_id)


def score_captions(
    model: LxmertForImageAndTextRetrieval,
    processor: LxmertProcessor,
    captions: Sequence[Question],
    regions: RegionSource,
    withhold: Withheld | None = None,
    pairs_per_tile: int = 256,
    progress: bool = True,
) -> tuple[torch.Tensor, list[int]]:
    """How well each of C captions fits each of the I images that they are about.

    Args:
        model: fine-tuned, or a pre-training checkpoint as it is.
        processor: of the model.
        captions: questions, each about one image.
        regions: of the images.
        withhold: leave out the "image" or the "question", an ablation.
        pairs_per_tile: pairs that run at once.
        progress: show bars with time left.

    Returns:
        Probabilities (C, I) that caption and image belong together, and the column of each caption's image.
    """
    columns: dict[str, int] = {}
    own = [columns.setdefault(caption.image_id, len(columns)) for caption in captions]
    longest = min(processor.tokenizer.model_max_length, model.config.max_position_embeddings)
    texts = dict(processor(text=[caption.text for caption in captions], truncation=True, max_length=longest))
    images = dict(processor(regions=regions.many(list(columns))))
    if withhold == "image":
        images |= without_image(images["visual_feats"])
    elif withhold == "question":
        texts |= without_question(processor, len(captions))
    logits = model.score_all_pairs(texts, images, pairs_per_tile, progress)
    return logits.float().softmax(-1)[..., 1], own


def retrieval_task(
    name: str,
    training: Sequence[Question],
    validation: Sequence[Question],
    processor: LxmertProcessor,
    store: RegionSource,
    *,
    withhold: Withheld | None = None,
    max_length: int | None = None,
    seed: int = 9595,
    saved_with_model: tuple[Saveable, ...] = (),
) -> Task:
    """The record that trains `LxmertForImageAndTextRetrieval`; the best checkpoint finds most images first.

    Args:
        name: of the run in trackers.
        training: captions to learn from.
        validation: captions of other images.
        processor: tokenizes and pads; saved with every checkpoint.
        store: regions of all images.
        withhold: learn and validate without one of the inputs, an ablation.
        max_length: largest number of wordpieces, longer captions are cut; None refuses them.
        seed: of the mismatched pairs.
        saved_with_model: what else is written beside the weights of every checkpoint.
    """

    def measure(model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator) -> dict[str, float]:
        # every process scores all pairs, so each knows the figures; the loader's batches hold too few of them
        plain: Any = accelerator.unwrap_model(model)
        scores, images = score_captions(plain, processor, validation, store, withhold, progress=False)
        return retrieval_figures(scores.numpy(), images)

    def collator(source: RegionSource | RegionPlaces, share_images: bool = False) -> AnswerCollator:
        classes = {NOT_MATCHED: 0, MATCHED: 1}
        return AnswerCollator(processor, source, classes, withhold, max_length=max_length, share_images=share_images)

    return Task(
        name=name,
        training=MatchingPairs(training, seed),
        validation=validation,
        collate=collator(store),
        measure=measure,
        selection="image_retrieval/recall@1",
        saved_with_model=(processor, *saved_with_model),
        identity={
            "withhold": withhold,
            "max_length": max_length,
            "training questions": digest_of(training),
            "validation questions": digest_of(validation),
            "wordpieces": stable_seed(*sorted(processor.tokenizer.get_vocab())),
        },
        images=ImageFeed(store, collator, partial(question_images, training), partial(question_images, validation)),
    )
