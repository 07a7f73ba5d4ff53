"""A checkpoint looked at before others see it: it loads, answers, has labels, and holds nothing that is not its own."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from lxmert.hub.own_files import read_json
from lxmert.modeling_lxmert import (
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertPreTrainedModel,
)
from lxmert.processing import LxmertProcessor, Regions

HEADS: dict[str, type[LxmertPreTrainedModel]] = {
    head.__name__: head
    for head in (
        LxmertForQuestionAnswering,
        LxmertForVisualReasoning,
        LxmertForImageAndTextRetrieval,
        LxmertForPreTraining,
    )
}
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
PICKLED = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|h5|msgpack)")
SETTINGS = {
    "config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
}
# What is made anew for the page, or belongs to it: it may lie in the folder, and only the card is taken from there.
LICENSE_FILE = re.compile(r"LICENSE(\.\w+)?")
SHOWN = re.compile(r"training_curve\.png|(\.eval_results|widget)/.*")
OF_THE_PAGE = re.compile(rf"README\.md|{LICENSE_FILE.pattern}|\.gitattributes|{SHOWN.pattern}")
MADE_CODE = re.compile(r"(configuration|modeling|processing|pipeline)_lxmert\w*\.py|handler\.py")
SAMPLE_REGIONS = 4


@dataclass(frozen=True)
class Example:
    """A question about a picture, shown on the page with the model's answer.

    Args:
        image: the picture's file.
        question: about it.
        answer: the model's, filled in by `check_checkpoint`.
        probability: of the answer.
    """

    image: Path
    question: str
    answer: str = ""
    probability: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """What a page says of the model itself.

    Args:
        folder: of the files.
        files: that others need, relative to it.
        head: name of the model's class.
        parameters: their number.
        answers: texts, in the order of the head.
        feature_dim: width of a region's features.
        extractor: class of the region extractor, None if the processor has none.
        longest: number of wordpieces that a question may have.
        examples: with the model's answers.
    """

    folder: Path
    files: tuple[str, ...]
    head: str
    parameters: int
    answers: tuple[str, ...]
    feature_dim: int
    extractor: str | None
    longest: int
    examples: tuple[Example, ...] = field(default=())

    @property
    def answers_questions(self) -> bool:
        """Whether the Hub's task visual question answering is what it does."""
        return self.head == LxmertForQuestionAnswering.__name__

    @property
    def sees_pictures(self) -> bool:
        """Whether it answers questions about picture files by itself."""
        return self.answers_questions and self.extractor is not None


def check_checkpoint(folder: str | Path, examples: Sequence[Example] = ()) -> Checkpoint:
    """Load a checkpoint as others will, let it answer, and list its files.

    Args:
        folder: with config.json, safetensors weights, processor_config.json and the tokenizer's files.
        examples: questions about pictures, for models that answer questions about one picture.

    Raises:
        FileNotFoundError: no such folder, or a file that others need is not in it.
        ValueError: pickled weights, stray files, damaged files, links to elsewhere, weights that do not fit the head, a
            head without names of its answers, scores that are not finite, an extractor whose features do not fit, or
            examples that cannot be answered.
    """
    folder = Path(folder)
    files = _check_files(folder)
    config = _check_readable(folder, files)["config.json"]
    named = config.get("architectures")
    head = str(named[0]) if isinstance(named, list) and named else None
    if head is None or head not in HEADS:
        raise ValueError(
            f"{folder}/config.json names {head!r} as its architecture, but what is published must be one of "
            f"{', '.join(HEADS)}: save the model with its head."
        )
    with _loading(f"The model in {folder}"):
        model, found = HEADS[head].from_pretrained(folder, output_loading_info=True)
    lacking = sorted(set(found["missing_keys"]) | {str(key) for key in found.get("mismatched_keys", ())})
    if lacking:
        raise ValueError(
            f"The weights in {folder} are not whole: {head} lacks {', '.join(lacking[:3])}"
            f"{f' and {len(lacking) - 3} more' if len(lacking) > 3 else ''}. Save the model again."
        )
    with _loading(f"The processor in {folder}"):
        processor = LxmertProcessor.from_pretrained(folder)
    model.eval()
    answers = _check_answers(model, config, folder)
    _check_it_answers(model, processor, folder)
    extractor = processor.region_extractor
    return Checkpoint(
        folder=folder,
        files=files,
        head=head,
        parameters=model.num_parameters(),
        answers=answers,
        feature_dim=model.config.visual_feat_dim,
        extractor=None if extractor is None else type(extractor).__name__,
        longest=processor.tokenizer.model_max_length,
        examples=tuple(_answered(model, processor, example) for example in examples),
    )


def _check_files(folder: Path) -> tuple[str, ...]:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} is no checkpoint: it has no config.json. Name a folder such as runs/NAME/best."
        )
    paths = list(folder.rglob("*"))
    if outside := [path for path in paths if not path.resolve().is_relative_to(folder.resolve())]:
        raise ValueError(
            f"{outside[0]} is a link to {outside[0].resolve()}, outside the folder: put the file itself there."
        )
    names = sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())
    pickled = [name for name in names if PICKLED.fullmatch(name)]
    if pickled:
        raise ValueError(
            f"{folder} holds {', '.join(pickled)}: pickled files run code when they are loaded, and only safetensors "
            "are published. Load the model and save it again with save_pretrained into a new folder."
        )
    wanted = [name for name in names if name in SETTINGS or WEIGHTS.fullmatch(name)]
    stray = [n for n in names if n not in wanted and not OF_THE_PAGE.fullmatch(n) and not MADE_CODE.fullmatch(n)]
    if stray:
        raise ValueError(
            f"{folder} holds what does not belong to a checkpoint: {', '.join(stray[:5])}"
            f"{f' and {len(stray) - 5} more' if len(stray) > 5 else ''}. Move it elsewhere."
        )
    for name, why in (("processor_config.json", "the processor"), ("tokenizer_config.json", "the tokenizer")):
        if name not in wanted:
            raise FileNotFoundError(
                f"{folder} has no {name}, so others could not ask it anything: write {why} beside the weights "
                "(processor.save_pretrained)."
            )
    if not any(WEIGHTS.fullmatch(name) for name in wanted):
        raise FileNotFoundError(f"{folder} has no weights: model.save_pretrained writes model.safetensors.")
    return tuple(wanted)


def _check_readable(folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """The settings by their files' names; weights are opened, which shows whether they are whole."""
    for name in files:
        if name.endswith(".safetensors"):
            with _loading(str(folder / name)), safe_open(folder / name, "pt"):
                pass
    return {name: read_json(folder / name) for name in files if name.endswith(".json")}


@contextmanager
def _loading(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged files lead to whatever their readers meet first
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{what} cannot be loaded ({said}): put back a copy, or save it again.") from error


def _check_answers(model: LxmertPreTrainedModel, config: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """The names of the answers, as the file has them."""
    if not isinstance(model, LxmertForQuestionAnswering):
        return tuple(model.config.id2label.values())
    names = config.get("id2label")
    names = names if isinstance(names, dict) else {}
    count = len(model.config.id2label)
    if names.keys() != {str(i) for i in range(count)} or all(
        re.fullmatch(r"LABEL_\d+", str(name)) for name in names.values()
    ):
        raise ValueError(
            f"The head in {folder} has {count} answers but config.json does not name them, so others would get "
            "numbers: model.name_answers(read_answer_list(FILE)), then save it again."
        )
    return tuple(str(names[str(i)]) for i in range(count))


def _check_it_answers(model: LxmertPreTrainedModel, processor: LxmertProcessor, folder: Path) -> None:
    """One question about made-up regions gives finite scores; the extractor's features have the model's width."""
    extractor, width = processor.region_extractor, model.config.visual_feat_dim
    if extractor is not None and extractor.feature_dim != width:
        raise ValueError(
            f"The extractor in {folder} makes features of width {extractor.feature_dim}, the model takes {width}: save "
            "the processor with the extractor that the model was trained with."
        )
    boxes = np.array([[0, 0, 10 + i, 10 + i] for i in range(SAMPLE_REGIONS)], dtype=np.float32)
    features = np.random.default_rng(0).standard_normal((SAMPLE_REGIONS, width)).astype(np.float32)
    regions: Any = Regions(features=features, boxes=boxes, image_size=(20, 20))
    if isinstance(model, LxmertForVisualReasoning):
        regions = [[regions, regions]]
    inputs = processor(text="is it?", regions=regions, return_tensors="pt")
    with torch.inference_mode():
        output = model(**inputs)
    scores = output.logits if hasattr(output, "logits") else output.question_answering_score
    if scores is not None and not torch.isfinite(scores).all():
        raise ValueError(f"The model in {folder} answers with scores that are not finite: its weights are damaged.")


def _answered(model: LxmertPreTrainedModel, processor: LxmertProcessor, example: Example) -> Example:
    if not isinstance(model, LxmertForQuestionAnswering) or processor.region_extractor is None:
        raise ValueError(
            "examples are questions about one picture, for a model with an answer head and a processor that finds "
            f"regions in pictures; this is a {type(model).__name__} "
            f"{'without' if processor.region_extractor is None else 'with'} an extractor: leave examples out "
            "(--example)."
        )
    inputs = processor(text=example.question, images=example.image, return_tensors="pt")
    with torch.inference_mode():
        probabilities = model(**inputs).logits.softmax(-1)[0]
    best = int(probabilities.argmax())
    return Example(example.image, example.question, model.config.id2label[best], float(probabilities[best]))
