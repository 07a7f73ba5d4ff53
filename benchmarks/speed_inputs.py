"""What the contestants read: questions as long as in VQA, 36 regions, pictures, targets, all drawn from seeds."""

from dataclasses import dataclass
from typing import Any

import torch

SHORTEST, LONGEST = 6, 20  # wordpieces with [CLS] and [SEP]; the original pads all to 20
# Each length is this much rarer than the one before, which makes their mean 8.5.
RARER = 0.7236
REGIONS = 36
ANSWERS = 3129  # of VQA
# At the paper's size LXMERT's defaults hold; with --tiny the whole program runs in seconds.
TINY = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "l_layers": 2,
    "r_layers": 1,
    "x_layers": 1,
    "visual_feat_dim": 16,
    "num_object_labels": 11,
    "num_attr_labels": 7,
    "num_qa_labels": 13,
}


def model_sizes(tiny: bool, answers: int = ANSWERS) -> dict[str, Any]:
    """Keywords of `LxmertConfig`, ours and transformers': the paper's size with so many answers, or a tiny model."""
    # transformers' default, so that both have the same loss
    return {"visual_loss_normalizer": 6.67} | (TINY if tiny else {"num_qa_labels": answers})


def question_lengths(count: int, seed: int = 0) -> torch.Tensor:
    """(count,), wordpieces of questions, in random order.

    Taken at even steps through the distribution, so that a batch of any size has short and long ones in due proportion.

    Example:
        >>> question_lengths(8).sort().values
        tensor([ 6,  6,  7,  7,  8,  9, 10, 14])
    """
    shares = RARER ** torch.arange(LONGEST - SHORTEST + 1, dtype=torch.float64)
    below = (shares / shares.sum()).cumsum(0)
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    lengths = SHORTEST + torch.searchsorted(below, places)
    return lengths[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]


@dataclass(frozen=True)
class Batch:
    """B questions about I images.

    Args:
        words: `input_ids`, `attention_mask`, `token_type_ids`, each (B, longest), zeros behind each question.
        images: `visual_feats` (I, R, D), `visual_pos` (I, R, 4).
        image_indices: (B,), the image of each question.
    """

    words: dict[str, torch.Tensor]
    images: dict[str, torch.Tensor]
    image_indices: torch.Tensor

    @property
    def longest(self) -> int:
        """Wordpieces of the longest question."""
        return int(self.words["attention_mask"].sum(1).max())

    def padded(self, length: int = LONGEST) -> dict[str, torch.Tensor]:
        """Keywords of a model that wants one image for each question, words padded to so many."""
        return self.padded_words(length) | {name: value[self.image_indices] for name, value in self.images.items()}

    def padded_words(self, length: int) -> dict[str, torch.Tensor]:
        """The words, cut or padded to so many."""
        missing = length - self.words["input_ids"].shape[1]
        return {name: torch.nn.functional.pad(value, (0, missing)) for name, value in self.words.items()}

    def shared(self) -> dict[str, torch.Tensor]:
        """Keywords of a model that reads each image once, words padded to the longest question."""
        return self.words | self.images | {"image_indices": self.image_indices}

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        words, images = ({name: value.to(device) for name, value in part.items()} for part in (self.words, self.images))
        return Batch(words, images, self.image_indices.to(device))


def make_batch(
    sizes: dict[str, Any],
    questions: int,
    images: int | None = None,
    regions: int = REGIONS,
    lengths: torch.Tensor | None = None,
    seed: int = 0,
) -> Batch:
    """Random questions about random images; features as after a ReLU, boxes in [0, 1].

    Args:
        sizes: of `model_sizes`.
        questions: B.
        images: I, each with the same number of questions; as many as questions if left out.
        regions: R.
        lengths: (B,); of `question_lengths` if left out.
        seed: of everything.

    Raises:
        ValueError: questions that cannot be shared out evenly among the images.
    """
    images = images or questions
    if questions % images:
        raise ValueError(f"questions must be a multiple of images, got {questions} and {images}.")
    generator = torch.Generator().manual_seed(seed)
    lengths = question_lengths(questions, seed) if lengths is None else lengths
    longest = int(lengths.max())
    mask = (torch.arange(longest) < lengths[:, None]).long()  # (B, longest)
    ids = torch.randint(5, sizes.get("vocab_size", 30522), (questions, longest), generator=generator)
    corners = torch.rand(2, images, regions, 2, generator=generator).sort(dim=0).values
    width = sizes.get("visual_feat_dim", 2048)
    return Batch(
        words={"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)},
        images={
            "visual_feats": torch.randn(images, regions, width, generator=generator).relu(),
            "visual_pos": torch.cat([corners[0], corners[1]], dim=-1),
        },
        image_indices=torch.arange(images).repeat_interleave(questions // images),
    )


def answer_labels(answers: int, questions: int, seed: int = 0) -> torch.Tensor:
    """(B,), the class of each answer."""
    return torch.randint(answers, (questions,), generator=torch.Generator().manual_seed(seed + 1))


@dataclass(frozen=True)
class PretrainingLabels:
    """Targets of the five tasks for a batch.

    Args:
        words: (B, longest), wordpieces where one was masked, -100 elsewhere.
        pairs: `matched_label` (B,), `ans` (B,).
        regions: `obj`, `attr`, `feat`, each of I images, as the models' `obj_labels`.
        image_indices: (B,), the image of each question.
    """

    words: torch.Tensor
    pairs: dict[str, torch.Tensor]
    regions: dict[str, tuple[torch.Tensor, torch.Tensor]]
    image_indices: torch.Tensor

    def shared(self, length: int) -> dict[str, Any]:
        """Keywords of a model that reads each image once, words padded to so many."""
        words = torch.nn.functional.pad(self.words, (0, length - self.words.shape[1]), value=-100)
        return {"labels": words, "obj_labels": self.regions, **self.pairs}

    def padded(self, length: int = LONGEST) -> dict[str, Any]:
        """Keywords of a model that wants one image for each question."""
        repeated = {name: tuple(part[self.image_indices] for part in pair) for name, pair in self.regions.items()}
        return self.shared(length) | {"obj_labels": repeated}


def pretraining_labels(config: Any, batch: Batch, seed: int = 0) -> PretrainingLabels:
    """Random targets: 15 % of the wordpieces and regions are masked, the first word and region always.

    Args:
        config: LXMERT's, for the numbers of classes.
        batch: that is to be pre-trained on.
        seed: of everything.
    """
    generator = torch.Generator().manual_seed(seed + 2)
    mask = batch.words["attention_mask"].cpu()
    images, regions, width = batch.images["visual_feats"].shape
    masked_words = torch.rand(mask.shape, generator=generator) < 0.15
    masked_regions = torch.rand(images, regions, generator=generator) < 0.15
    masked_words[:, 1] = masked_regions[:, 0] = True
    ids = torch.randint(5, config.vocab_size, mask.shape, generator=generator)

    def classes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.randint(count, (images, regions), generator=generator)
        return ids, torch.rand(images, regions, generator=generator)

    device = batch.image_indices.device
    visual = {"obj": classes(config.num_object_labels), "attr": classes(config.num_attr_labels)}
    visual["feat"] = torch.randn(images, regions, width, generator=generator).relu(), masked_regions.float()
    questions = len(mask)
    pairs = {
        "matched_label": torch.randint(2, (questions,), generator=generator),
        "ans": answer_labels(config.num_qa_labels, questions, seed),
    }
    return PretrainingLabels(
        words=ids.where(masked_words & (mask > 0), -100).to(device),
        pairs={name: value.to(device) for name, value in pairs.items()},
        regions={name: (values.to(device), weights.to(device)) for name, (values, weights) in visual.items()},
        image_indices=batch.image_indices,
    )
