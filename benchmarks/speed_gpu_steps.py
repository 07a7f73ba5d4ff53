"""Steps of pre-training on a device that holds all regions: what they read, and the ways to take them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from speed_contestants import Setting, both_models
from speed_inputs import LONGEST, REGIONS, make_batch, model_sizes, pretraining_labels
from speed_rounds import Outputs, Precision

from lxmert.training import TrainingSettings
from lxmert.training.optimizer import make_optimizer
from lxmert.training.settings import MixedPrecision

# How ours is run: where bfloat16 comes in, and what torch.compile gets.
COMPILED = ("", "-layers", "-model", "-graphs")
WAYS = tuple(kind + compiled for kind in ("autocast", "weights") for compiled in COMPILED)


@dataclass(frozen=True)
class Table:
    """The regions of N images on the device.

    Args:
        features: (N, R, D), float16.
        boxes: (N, R, 4).
        labels: `obj` and `attr`, each classes (N, R) and confidences (N, R).
    """

    features: torch.Tensor
    boxes: torch.Tensor
    labels: dict[str, tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def draw(cls, config: Any, images: int, device: torch.device) -> "Table":
        """Random regions, features as after a ReLU."""
        generator = torch.Generator(device).manual_seed(0)
        shape = (images, REGIONS)
        choices: dict[str, Any] = {"generator": generator, "device": device}
        features = torch.randn(*shape, config.visual_feat_dim, dtype=torch.float16, **choices).relu_()
        corners = torch.rand(2, *shape, 2, **choices).sort(dim=0).values
        counts = {"obj": config.num_object_labels, "attr": config.num_attr_labels}
        labels = {
            name: (torch.randint(count, shape, **choices), torch.rand(shape, **choices))
            for name, count in counts.items()
        }
        return cls(features, torch.cat([corners[0], corners[1]], dim=-1), labels)

    def rows(self, rows: torch.Tensor, masked: torch.Tensor, dtype: torch.dtype) -> dict[str, Any]:
        """Keywords of the models about images (I,), of which the masked regions (I, R) show zeros."""
        features = self.features[rows].to(dtype)
        labels = {name: (classes[rows], confidences[rows]) for name, (classes, confidences) in self.labels.items()}
        return {
            "visual_feats": features * (1 - masked)[..., None].to(dtype),
            "visual_pos": self.boxes[rows].to(dtype),
            "obj_labels": labels | {"feat": (features, masked)},
        }


@dataclass(frozen=True)
class Step:
    """B sentences about I images of the table, on the device.

    Args:
        words: what the models know about words and pairs, labels included, padded to 20.
        rows: (I,), images in the table.
        masked: (I, R), 1 for masked regions.
        image_indices: (B,), the place in `rows` of each sentence's image.
        counts: how much there is to compute, known without asking the device.
    """

    words: dict[str, torch.Tensor]
    rows: torch.Tensor
    masked: torch.Tensor
    image_indices: torch.Tensor
    counts: dict[str, int]

    def ours(self, table: Table, dtype: torch.dtype) -> dict[str, Any]:
        """Each image once, padding and predictions that no label wants left out."""
        inputs = self.words | table.rows(self.rows, self.masked, dtype) | self.counts | {"return_logits": False}
        if len(self.rows) < len(self.image_indices):
            inputs["image_indices"] = self.image_indices
        return inputs

    def theirs(self, table: Table) -> dict[str, Any]:
        """An image for each sentence, in float32."""
        rows, masked = self.rows[self.image_indices], self.masked[self.image_indices]
        return self.words | table.rows(rows, masked, torch.float32)


def in_parts(step: Step, parts: int) -> list[Step]:
    """A step as several smaller ones, for a model that reads an image for each sentence."""
    rows, masked = step.rows[step.image_indices], step.masked[step.image_indices]
    size = len(rows) // parts
    slices = [slice(start, start + size) for start in range(0, size * parts, size)]
    own_image = torch.arange(size, device=rows.device)
    return [
        Step({name: value[part] for name, value in step.words.items()}, rows[part], masked[part], own_image, {})
        for part in slices
    ]


def draw_step(config: Any, table: Table, batch: int, sentences: int, bucket: int, tiny: bool, seed: int) -> Step:
    """A random step of `batch` sentences, so many about each image; counts are rounded up to multiples of `bucket`.

    Raises:
        ValueError: a batch that is no multiple of `sentences`, or more images than the table has.
    """
    if batch % sentences:
        raise ValueError(f"batch must be a multiple of sentences, got {batch} and {sentences}.")
    images = batch // sentences
    if images > len(table.features):
        raise ValueError(f"batch needs {images} images, the table has {len(table.features)}: give more --images.")
    drawn = make_batch(model_sizes(tiny) | {"visual_feat_dim": 1}, batch, images, seed=seed)  # features: the table's
    labels = pretraining_labels(config, drawn, seed)
    masked = labels.regions["feat"][1]
    needed = {
        "word_count": (int(drawn.words["attention_mask"].sum()), batch * LONGEST),
        "labelled_word_count": (int((labels.words >= 0).sum()), batch * LONGEST),
        "masked_region_count": (int(masked.sum()) * sentences, batch * REGIONS),
    }
    device = table.features.device
    words = drawn.padded_words(LONGEST) | labels.shared(LONGEST)
    del words["obj_labels"]
    return Step(
        words={name: value.to(device) for name, value in words.items()},
        rows=torch.randperm(len(table.features), generator=torch.Generator().manual_seed(seed))[:images].to(device),
        masked=masked.to(device),
        image_indices=drawn.image_indices.to(device),
        counts={name: min(-(-count // bucket) * bucket, most) for name, (count, most) in needed.items()},
    )


@dataclass(frozen=True)
class Way:
    """A model, how its steps are taken, and what they read.

    Args:
        model: with weights in float32 or bfloat16, compiled or not.
        optimizer: of its weights.
        mixed: "bf16" for autocast.
        inputs: keywords of the model for a step.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    mixed: MixedPrecision
    inputs: Callable[[Step], dict[str, Any]]

    def forward(self, step: Step) -> Any:
        """The model's output."""
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.mixed == "bf16"):
            return self.model(**self.inputs(step))

    def take(self, parts: list[Step]) -> None:
        """Forward and backward of each part, then the optimiser."""
        self.model.train()
        for part in parts:
            torch.compiler.cudagraph_mark_step_begin()  # what the last part gave may be written over
            self.forward(part).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def outputs(self, step: Step) -> Outputs:
        """What must equal the reference's, without dropout."""
        self.model.eval()
        torch.compiler.cudagraph_mark_step_begin()
        output = self.forward(step)
        output.loss.backward()
        gradients = {name: value.grad for name, value in self.model.named_parameters() if value.grad is not None}
        self.optimizer.zero_grad(set_to_none=True)
        return Outputs(output.question_answering_score.detach().float().clone(), output.loss.item(), gradients)


class Ways:
    """Makes the ways of one run, all from the same weights.

    Args:
        tiny: a model of a few layers.
        images: in the table.
        device: of everything.
        backend: of torch.compile.
    """

    def __init__(self, tiny: bool, images: int, device: torch.device, backend: str = "inductor"):
        self.ours, self.theirs = both_models("LxmertForPreTraining", Setting(tiny, device, Path()), answers=9500)
        self.config, self.backend = self.ours.config, backend
        self.table = Table.draw(self.config, images, device)

    def reference(self, mixed: MixedPrecision) -> Way:
        """transformers' as users run it, default AdamW, in float32 or with autocast."""
        model = copy.deepcopy(self.theirs)
        return Way(model, torch.optim.AdamW(model.parameters(), lr=1e-5), mixed, lambda s: s.theirs(self.table))

    def way(self, name: str) -> Way:
        """One of `WAYS`.

        Raises:
            ValueError: another name.
        """
        if name not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)}, got {name!r}.")
        kind, _, compiled = name.partition("-")
        model = copy.deepcopy(self.ours)
        dtype, mixed = torch.float32, get_args(MixedPrecision)[2]
        if kind == "weights":
            model, dtype, mixed = model.to(torch.bfloat16), torch.bfloat16, "no"
        optimizer = make_optimizer(model.parameters(), TrainingSettings("unused", learning_rate=1e-5))
        if compiled == "layers":
            encoder = model.lxmert.encoder
            for layer in (*encoder.layer, *encoder.r_layers, *encoder.x_layers):
                layer.compile(backend=self.backend)
        elif compiled == "model":
            model.compile(backend=self.backend)
        elif compiled == "graphs":
            mode = "reduce-overhead" if self.backend == "inductor" else None  # its name for CUDA graphs
            model.compile(backend=self.backend, mode=mode, dynamic=False)
        return Way(model, optimizer, mixed, lambda s: s.ours(self.table, dtype))


def precision_of(way: Way) -> Precision:
    """Of its matrix products."""
    return "float32" if way.mixed == "no" and way.model.dtype == torch.float32 else "bfloat16"
