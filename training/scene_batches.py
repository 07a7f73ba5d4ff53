"""Batches of samples: a sentence about a scene becomes wordpieces, regions, and targets of grounding and counting.

Everything is an operation on whole arrays, because small models learn from thousands of samples a second.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, get_args

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from lxmert.scenes import BOXES, COLOURS, NOTHING, PHRASES, REGIONS, SHAPES, SIDE, SIZES, SLOTS, Samples
from lxmert.training.collator import Withheld
from lxmert.training.masking import IGNORED, PretrainingObjectives
from lxmert.training.nlvr import BOX_OFFSETS, IMAGE_SIZE, appearance
from lxmert.training.scene_masking import five_tasks
from lxmert.training.task import Batch

PLACES = SLOTS + 1  # of a box: its objects, behind them the box
KINDS = len(SHAPES) * len(COLOURS) * len(SIZES)  # of objects; the box is one more
ORDERS = np.array(list(permutations(range(BOXES))))  # (6, 3)
SORTED_TOGETHER = 256  # batches
SIDES = (("left", "right"),)
ROUND_AND_POINTED = (("circle", "triangle"), ("circles", "triangles"))
EXACTLY = re.compile(r"\bright (?:on|over|above|below|beneath|under)")  # not the side


def label_features() -> np.ndarray:
    """(28, 10), the features of `scene_regions` for each kind of object, and for a box."""
    kinds = product(range(len(SHAPES)), range(len(COLOURS)), range(len(SIZES)))
    return np.stack([*(appearance(*kind) for kind in kinds), appearance(len(SHAPES))])


@dataclass(frozen=True)
class Augmentation:
    """Which changes that leave the truth as it is are drawn for each sample.

    Args:
        boxes: the three boxes stand in any order.
        mirror: left and right are swapped, in the scene and in the sentence, unless "right" is no side in it.
        colours: colours are exchanged, in the scene and in the sentence.
        shapes: circles and triangles are swapped, in the scene and in the sentence.
    """

    boxes: bool = True
    mirror: bool = True
    colours: bool = True
    shapes: bool = True


class SceneBatches:
    """Makes batches out of samples.

    Args:
        samples: to learn from.
        tokenizer: of the sentences.
        features: (28, D), of each kind of object and of the box; by default `label_features`.
        augmentation: what is varied; None for nothing.
        own_features: (scenes, 27, D), features of the regions of `own_scenes`, such as from pictures.
        own_scenes: (scenes,), whether a scene has features of its own; its colours and shapes are not exchanged.
        objectives: of the paper's five tasks, which are added then; None for answers, grounding and counts alone.
        withhold: leave out the "image", in whose place stands one region without features, or the "question".
        counts: number of classes of the counts.

    Raises:
        ValueError: no samples, own features that do not fit the scenes, another `withhold`, `objectives` beside it, or
            a tokenizer that has no wordpiece for a word that the augmentation exchanges.
    """

    def __init__(
        self,
        samples: Samples,
        tokenizer: PreTrainedTokenizerBase,
        features: np.ndarray | None = None,
        augmentation: Augmentation | None = None,
        own_features: np.ndarray | None = None,
        own_scenes: np.ndarray | None = None,
        objectives: PretrainingObjectives | None = None,
        withhold: Withheld | None = None,
        counts: int = 10,
    ):
        self.samples, self.augmentation, self.counts, self.objectives = samples, augmentation, counts, objectives
        self.own_features, self.withhold = own_features, withhold
        self.features = label_features() if features is None else features
        self._check(own_scenes, tokenizer)
        scenes = samples.scenes
        self.own_scenes = np.zeros(len(scenes), bool) if own_scenes is None else np.asarray(own_scenes, bool)
        self.special = tuple(tokenizer.convert_tokens_to_ids(["[PAD]", "[CLS]", "[SEP]"]))
        self.mask_token_id = tokenizer.convert_tokens_to_ids("[MASK]")
        self.ids, self.words, self.heads = _tokenized(samples, tokenizer, padding=self.special[0])
        self.exchanged = _exchanged_words(tokenizer)
        sided = np.array([EXACTLY.search(text.lower()) is None for text in samples.texts])
        self.mirrorable = samples.exchangeable & sided
        self.present = np.ones((len(scenes), BOXES, PLACES), bool)
        self.present[..., :SLOTS] = scenes.present
        self.regions = self.present.sum((1, 2))

    def _check(self, own_scenes: np.ndarray | None, tokenizer: PreTrainedTokenizerBase) -> None:
        scenes, own = len(self.samples.scenes), self.own_features
        if not len(self.samples):
            raise ValueError("samples is empty; draw some with draw_samples, or join examples in given_samples.")
        if (own is None) != (own_scenes is None):
            raise ValueError("own_features and own_scenes belong together: give both or neither.")
        if own is not None and own_scenes is not None:
            expected = (scenes, REGIONS, self.features.shape[1]), (scenes,)
            if (own.shape, own_scenes.shape) != expected:
                raise ValueError(
                    f"own_features and own_scenes must have the shapes {expected[0]} and {expected[1]}, as the scenes "
                    f"and features have, got {own.shape} and {own_scenes.shape}."
                )
        if self.withhold is not None and self.withhold not in get_args(Withheld):
            raise ValueError(f'withhold must be "image", "question" or None, got {self.withhold!r}.')
        if self.withhold is not None and self.objectives is not None:
            raise ValueError(f"Without the {self.withhold} there is nothing to mask: leave out objectives or withhold.")
        for word in _words_to_exchange(self.augmentation):
            if any(tokenizer.tokenize(written) != [word] for written in (word, word.capitalize())):
                raise ValueError(
                    f"The augmentation exchanges {word!r}, which must be one wordpiece of the tokenizer in small and "
                    "capital letters: train a lower-casing one on sentences that hold it, or do not exchange it."
                )

    def order(self, size: int, generator: np.random.Generator) -> list[np.ndarray]:
        """All samples in batches of one size, each of samples of about the same length, in random order.

        They are sorted by their numbers of regions and of words, `SORTED_TOGETHER` batches at a time: with an eighth of
        them, the batches of an epoch would hold a fifth more words and regions, all of it padding.
        """
        rows = generator.permutation(len(self.samples))
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), size * SORTED_TOGETHER):
            part = rows[start : start + size * SORTED_TOGETHER]
            part = part[np.lexsort((self.words[self.samples.sentence[part]], self.regions[self.samples.scene[part]]))]
            batches.extend(part[i : i + size] for i in range(0, len(part), size))
        return [batches[i] for i in generator.permutation(len(batches))]

    def batch(self, rows: Sequence[int] | np.ndarray, generator: np.random.Generator) -> Batch:
        """Keywords of `LxmertForPreTraining` for these samples.

        Args:
            rows: of the samples, B of them.
            generator: draws what is varied.

        Returns:
            `input_ids`, `attention_mask` (B, T), `visual_feats` (B, R, D), `visual_pos` (B, R, 4),
            `visual_attention_mask` (B, R), `ans` (B,), `grounding_labels` (B, T, R), `count_labels` (B, T); with
            `objectives` also the labels of the paper's tasks.
        """
        rows = np.asarray(rows)
        samples = self.samples
        sentence, scene, size = samples.sentence[rows], samples.scene[rows], len(rows)
        change = self._changes(sentence, self.own_scenes[scene], generator)
        # regions: (B, 27) first, then those that are there, (B, R)
        corners = self._boxes(scene, change).reshape(size, -1, 4)
        present = self.present[scene].reshape(size, -1)
        longest = int(present.sum(1).max())
        take = np.argsort(~present, axis=1, kind="stable")[:, :longest]  # (B, R)
        mask = np.take_along_axis(present, take, 1)
        kinds = np.take_along_axis(self._kinds(scene, change).reshape(size, -1), take, 1)  # (B, R)
        visual_feats = self.features[kinds]
        if self.own_features is not None:
            own = self.own_scenes[scene]
            visual_feats[own] = self.own_features[scene[own][:, None], take[own]]
        # words: (B, T)
        lengths = self.words[sentence]
        ids = self.exchanged[change.words[:, None], self.ids[sentence, : lengths.max()]]
        batch: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64),
            "visual_feats": visual_feats * mask[..., None],
            "visual_pos": np.take_along_axis(corners, take[..., None], 1) * mask[..., None],
            "visual_attention_mask": mask.astype(np.int64),
            "ans": samples.truth[rows].astype(np.int64),
        }
        batch["grounding_labels"], batch["count_labels"] = self._phrases(rows, take, mask, ids.shape[1])
        made: Batch = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}
        if self.withhold is not None:
            return self._without(made)
        if self.objectives is None:
            return made
        # a kind is (shape * colours + colour) * sizes + size; the box is the last shape and has no colour
        shapes = np.where(mask, kinds // (len(COLOURS) * len(SIZES)), IGNORED)
        colours = np.where(mask & (kinds < KINDS), kinds // len(SIZES) % len(COLOURS), IGNORED)
        special = self.special, self.mask_token_id, len(self.exchanged[0])
        return five_tasks(made, shapes, colours, self.objectives, *special, generator)

    def _without(self, batch: Batch) -> Batch:
        """The batch without one modality, and without what words mean."""
        if self.withhold == "image":
            for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
                batch[name] = batch[name][:, :1]
            batch["visual_feats"] = torch.zeros_like(batch["visual_feats"])
            batch["visual_pos"] = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand_as(batch["visual_pos"])
            batch["grounding_labels"] = batch["grounding_labels"][:, :, :1]
        else:
            _, first, last = self.special
            batch["input_ids"] = torch.tensor([first, last]).expand(len(batch["input_ids"]), -1).contiguous()
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
            for name in ("grounding_labels", "count_labels"):
                batch[name] = batch[name][:, :2]
        for name in ("grounding_labels", "count_labels"):
            batch[name] = torch.full_like(batch[name], IGNORED)
        return batch

    def _changes(self, sentence: np.ndarray, own: np.ndarray, generator: np.random.Generator) -> "_Changes":
        chosen, size = self.augmentation, len(sentence)
        spelt = self.samples.exchangeable[sentence]

        def draw(wanted: bool, choices: int, possible: np.ndarray) -> np.ndarray:
            return generator.integers(0, choices, size) * (possible if wanted else 0)

        boxes, mirror, colours, shapes = (
            (chosen.boxes, chosen.mirror, chosen.colours, chosen.shapes) if chosen else (False,) * 4
        )
        colour, swapped = draw(colours, len(ORDERS), spelt & ~own), draw(shapes, 2, spelt & ~own)
        mirrored = draw(mirror, 2, self.mirrorable[sentence])
        order = ORDERS[generator.integers(0, len(ORDERS), size) if boxes else np.zeros(size, int)]
        return _Changes(
            offsets=np.array(BOX_OFFSETS, np.float32)[order],
            mirrored=mirrored.astype(bool),
            colours=ORDERS[colour],
            swapped=swapped.astype(bool),
            words=(colour * 2 + mirrored) * 2 + swapped,
        )

    def _boxes(self, scene: np.ndarray, change: "_Changes") -> np.ndarray:
        """(B, 3, 9, 4), corners as shares of the picture; those of unused places mean nothing."""
        scenes = self.samples.scenes
        x, y, extent = (array[scene].astype(np.float32) for array in (scenes.x, scenes.y, scenes.size))
        x = np.where(change.mirrored[:, None, None], SIDE - x - extent, x)
        boxes = np.empty((len(scene), BOXES, PLACES, 4), np.float32)
        boxes[..., :SLOTS, :] = np.stack([x, y, x + extent, y + extent], -1)
        boxes[..., SLOTS, :] = 0, 0, SIDE, SIDE
        boxes = boxes.clip(0, SIDE)  # what is found in a picture may be longer than wide, but has one size
        boxes[..., ::2] += change.offsets[..., None, None]
        return boxes / np.array([IMAGE_SIZE[1], IMAGE_SIZE[0]] * 2, np.float32)

    def _kinds(self, scene: np.ndarray, change: "_Changes") -> np.ndarray:
        """(B, 3, 9), rows of the table of features; unused places have the box's."""
        scenes = self.samples.scenes
        shape, colour = scenes.shape[scene], scenes.colour[scene]
        shape = np.where(change.swapped[:, None, None] & (shape > 0), len(SHAPES) - shape, shape)
        colour = np.take_along_axis(change.colours, np.maximum(colour, 0).reshape(len(scene), -1), 1).reshape(
            colour.shape
        )
        kinds = np.full((len(scene), BOXES, PLACES), KINDS)
        size = np.clip((scenes.size[scene] + SIZES[0] // 2) // SIZES[0] - 1, 0, len(SIZES) - 1)  # the nearest
        objects = (shape * len(COLOURS) + colour) * len(SIZES) + size
        kinds[..., :SLOTS] = np.where(scenes.shape[scene] == NOTHING, KINDS, objects)
        return kinds

    def _phrases(
        self, rows: np.ndarray, take: np.ndarray, mask: np.ndarray, words: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Targets of grounding (B, T, R) and of counting (B, T)."""
        samples = self.samples
        sentence = samples.sentence[rows]
        bits = samples.regions[rows][..., None] >> take[:, None, :].astype(np.uint32) & 1  # (B, 12, R)
        is_box = take % PLACES == SLOTS  # (B, R)
        known = mask[:, None] & (is_box[:, None] | ~samples.of_boxes[sentence][..., None])
        labels = np.where(known, bits.astype(np.int64), IGNORED)
        counted = (labels == 1) & (is_box[:, None] == samples.of_boxes[sentence][..., None])
        counts = np.minimum(counted.sum(-1), self.counts - 1)  # (B, 12)
        heads = self.heads[sentence]  # (B, 12)
        grounding = np.full((len(rows), words, take.shape[1]), IGNORED)
        count_labels = np.full((len(rows), words), IGNORED)
        at = np.nonzero(heads >= 0)
        grounding[at[0], heads[at]] = labels[at]
        count_labels[at[0], heads[at]] = counts[at]
        return grounding, count_labels


@dataclass(frozen=True)
class _Changes:
    """What is varied in B samples.

    Args:
        offsets: (B, 3), left edge of each box in the picture.
        mirrored: (B,).
        colours: (B, 3), what each colour becomes.
        swapped: (B,), circles and triangles.
        words: (B,), row of the table of exchanged words.
    """

    offsets: np.ndarray
    mirrored: np.ndarray
    colours: np.ndarray
    swapped: np.ndarray
    words: np.ndarray


def _tokenized(
    samples: Samples, tokenizer: PreTrainedTokenizerBase, padding: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wordpieces (sentences, T), their numbers, and the one that each phrase's head begins with, -1 for none."""
    encoded = tokenizer(samples.texts, return_offsets_mapping=True)
    words = np.array([len(pieces) for pieces in encoded["input_ids"]])
    ids = np.full((len(samples.texts), words.max()), padding)
    heads = np.full((len(samples.texts), PHRASES), -1)
    for row, (pieces, offsets) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)):
        ids[row, : len(pieces)] = pieces
        begins = {start: index for index, (start, end) in enumerate(offsets) if end > start}
        heads[row] = [begins.get(place, -1) if place >= 0 else -1 for place in samples.places[row]]
    return ids, words, heads


def _words_to_exchange(augmentation: Augmentation | None) -> list[str]:
    """Words that other words take the place of."""
    if augmentation is None:
        return []
    pairs = SIDES * augmentation.mirror + ROUND_AND_POINTED * augmentation.shapes
    return [*(COLOURS if augmentation.colours else ()), *(word for pair in pairs for word in pair)]


def _exchanged_words(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """(24, V), what each wordpiece becomes when colours, left and right, circles and triangles are exchanged."""
    vocabulary = tokenizer.get_vocab()
    same = np.arange(len(vocabulary))
    table = []
    for order in ORDERS:
        for mirrored in range(2):
            for swapped in range(2):
                row = same.copy()
                names = {COLOURS[i]: COLOURS[j] for i, j in enumerate(order)}
                for first, second in SIDES * mirrored + ROUND_AND_POINTED * swapped:
                    names |= {first: second, second: first}
                for name, other in names.items():
                    if name in vocabulary and other in vocabulary:  # as it must be where words are exchanged
                        row[vocabulary[name]] = vocabulary[other]
                table.append(row)
    return np.stack(table)
