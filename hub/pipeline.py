"""`LxmertVisualQuestionAnsweringPipeline`: pictures and questions to answers, as transformers' pipelines do it."""

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm
from transformers import Pipeline

from lxmert.processing import Regions
from lxmert.processing.region_extractor import ImageInput, as_image_list

TASK = "lxmert-visual-question-answering"
# transformers removed the standard name; a config.json with this and a file pipeline_lxmert.py beside it bring it back.
CUSTOM_PIPELINES = {
    "visual-question-answering": {
        "impl": "pipeline_lxmert.LxmertVisualQuestionAnsweringPipeline",
        "pt": ["AutoModelForVisualQuestionAnswering"],
        "type": "multimodal",
    }
}
TOP_K = 5
BAR_AFTER = 3.0  # seconds that an answer may take before a progress bar appears

Answers = list[dict[str, Any]]


class LxmertVisualQuestionAnsweringPipeline(Pipeline):
    """Answers questions about images, from image file to text.

    `pipeline("lxmert-visual-question-answering", model=folder)` loads model and processor; model and processor at hand
    go in as `LxmertVisualQuestionAnsweringPipeline(model=model, processor=processor)`. Keywords of a call may be given
    on construction instead. Everything runs in this process, on `device`, the region extractor's network too.

    Raises:
        TypeError: a model that does not answer questions about one image.
        ValueError: no processor.

    Example:
        >>> pipe = pipeline("lxmert-visual-question-answering", model="checkpoints/nlvr")  # doctest: +SKIP
        >>> pipe("docs/images/three_boxes.png", "There is a blue square.", top_k=1)  # doctest: +SKIP
        [{'answer': 'true', 'score': 0.99}]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not _is_a("LxmertForQuestionAnswering", self.model):
            raise TypeError(
                f"model must be LxmertForQuestionAnswering, got {type(self.model).__name__}: this pipeline answers "
                "questions about one image."
            )
        if self.processor is None:
            raise ValueError("processor is None: give LxmertProcessor.from_pretrained(folder) beside the model.")
        self.model.eval()
        if self.processor.region_extractor is not None:
            self.processor.region_extractor.to(self.device)

    def __call__(
        self,
        image: Any = None,
        question: str | Sequence[str] | None = None,
        regions: Regions | Sequence[Regions] | None = None,
        batch_size: int | None = None,
        **parameters: Any,
    ) -> Answers | list[Answers] | Iterator[Answers]:
        """Answer one question or many.

        An image that several questions are about is opened and its regions are found once.

        Args:
            image: a path, PIL image, uint8 array or a file's bytes; a list of them; or instead of image and question an
                item `{"image": ..., "question": ...}` or `{"regions": ..., "question": ...}`, a list of items, or
                a data set or generator of them.
            question: one, or a list: one for each image, or all about one image.
            regions: instead of images, what was found in them.
            batch_size: questions that the model answers at once, and images that regions are found in at once; 1 by
                default.
            top_k: number of answers, 5 by default; fewer where the model has fewer.
            explain: add to each answer what it rests on, as `lxmert.visualization.relevance` finds it: `words`, a list
                of `{"word", "score"}` in the question's order, and `regions`, a list of `{"region", "label", "box",
                "score"}`, the most relevant first; `region` is the row, the box is in pixels. Runs the model once
                more, forth and back, for each answer.
            truncation: cut questions that are longer than the model's limit instead of refusing them.

        Returns:
            `[{"answer", "score"}, ...]`, the likeliest first, scores by softmax over all answers; a list of these where
            images, questions or items come as a list; an iterator over them for data sets and generators.

        Raises:
            FileNotFoundError: no file at an image's path.
            ModuleNotFoundError: `explain` without matplotlib.
            TypeError: something that is no picture, no question, no `Regions`, an `explain` or `truncation` that is not
                True or False, or an unknown keyword.
            ValueError: counts that do not match, both image and regions or neither, no question, an image that cannot
                be read, images without a region extractor, a question that is too long, or a `top_k` or `batch_size`
                below 1.
        """
        size = next(one for one in (batch_size, self._batch_size, 1) if one is not None)
        _check_count("batch_size", size)
        if _is_stream(image):
            if question is not None or regions is not None:
                raise ValueError(
                    f"image is a {type(image).__name__}, which is taken for items with their questions: give nothing "
                    "beside it, or one image as path, PIL image, array or bytes."
                )
            return self._answers(_stream(image), size, parameters)
        items, single = _as_items(image, question, regions)
        answers = self._answers(items, size, parameters)
        bar = tqdm(answers, total=len(items), desc="Answers", unit=" questions", delay=BAR_AFTER, disable=None)
        found = list(bar)
        return found[0] if single else found

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write model and processor into one folder, from which `pipeline(TASK, model=folder)` loads both.

        Args:
            save_directory: made where it is absent.
            **kwargs: of the model's `save_pretrained`.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)

    def _sanitize_parameters(
        self, top_k: int | None = None, explain: bool | None = None, truncation: bool | None = None, **unknown: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Parameters of `preprocess`, `_forward` and `postprocess`, those that were given."""
        if unknown:
            raise TypeError(
                f"Unknown keywords: {', '.join(unknown)}; a call takes image, question, regions, batch_size, top_k, "
                "explain and truncation."
            )
        if top_k is not None:
            _check_count("top_k", top_k)
        for name, choice in (("explain", explain), ("truncation", truncation)):
            if choice is not None and not isinstance(choice, bool):
                raise TypeError(f"{name} must be True or False, got {choice!r}.")
        before = {} if truncation is None else {"truncation": truncation}
        during = {name: value for name, value in (("top_k", top_k), ("explain", explain)) if value is not None}
        return before, during, {}

    def preprocess(self, input_: dict[str, Any], truncation: bool = False) -> dict[str, Any]:
        """Tensors of one question and its regions, (1, ...), and what the answer is told with."""
        inputs = self.processor(text=[input_["question"]], regions=[input_["regions"]], truncation=truncation)
        pieces = self.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
        return {**inputs, "told": [{**input_, "pieces": pieces}]}

    def _forward(self, input_tensors: dict[str, Any], top_k: int = TOP_K, explain: bool = False) -> dict[str, Any]:
        """The K likeliest answers of B questions: ids and scores (B, K), with `explain` their relevance (B, K, ...)."""
        told = input_tensors.pop("told")
        logits = self.model(**input_tensors, return_dict=True).question_answering_score
        best = logits.float().softmax(-1).topk(min(top_k, logits.shape[-1]))
        outputs = {"answers": best.indices, "scores": best.values, "told": told}
        if explain:
            relevance, _, _ = _explaining()
            found = [relevance(self.model, input_tensors, ids.tolist()) for ids in best.indices.T]
            outputs["words"] = torch.from_numpy(np.stack([one.words for one in found], axis=1))
            outputs["regions"] = torch.from_numpy(np.stack([one.regions for one in found], axis=1))
        return outputs

    def postprocess(self, model_outputs: dict[str, Any]) -> Answers:
        """The answers to one question as text."""
        ids, scores = model_outputs["answers"][0].tolist(), model_outputs["scores"][0].tolist()
        names = self.model.config.id2label
        answers: Answers = [{"answer": names[i], "score": score} for i, score in zip(ids, scores, strict=True)]
        if "words" in model_outputs:
            told = model_outputs["told"][0]
            for answer, words, regions in zip(
                answers, model_outputs["words"][0].tolist(), model_outputs["regions"][0].tolist(), strict=True
            ):
                answer["words"] = _words(told, words)
                answer["regions"] = _regions(told["regions"], regions)
        return answers

    def _answers(self, items: Iterable[Any], size: int, parameters: dict[str, Any]) -> Iterator[Answers]:
        self._sanitize_parameters(**parameters)  # before a picture is opened
        return iter(super().__call__(self._with_regions(items, size), batch_size=size, num_workers=0, **parameters))

    def _with_regions(self, items: Iterable[Any], size: int) -> Iterator[dict[str, Any]]:
        """The items with regions in place of images, which are found for so many items at once.

        Regions are kept as long as a list of items needs them; of a stream, those of the last items.
        """
        listed = isinstance(items, list)
        left = Counter(_name(item["image"], listed) for item in items if "image" in item) if listed else Counter()
        known: dict[Hashable, Regions] = {}
        source = iter(items)
        while taken := [_checked(item) for item in islice(source, size)]:
            names = [_name(item["image"], listed) if "image" in item else None for item in taken]
            new = {
                name: item["image"]
                for name, item in zip(names, taken, strict=True)
                if name is not None and name not in known
            }
            known |= zip(new, self._extract(list(new.values())), strict=True)
            for name, item in zip(names, taken, strict=True):
                yield {"question": item["question"], "regions": item["regions"] if name is None else known[name]}
            left.subtract(names)
            known = {name: known[name] for name in known if (left[name] > 0 if listed else name in names)}

    def _extract(self, images: list[ImageInput]) -> list[Regions]:
        if not images:
            return []
        if self.processor.region_extractor is None:
            raise ValueError(
                "The processor has no region extractor, so images mean nothing to it: give regions=... instead, or a "
                "processor built with LxmertProcessor(tokenizer, region_extractor)."
            )
        return self.processor.region_extractor(images)


def _is_a(name: str, thing: Any) -> bool:
    """Whether it is of the class of this name: code from the Hub has classes of its own."""
    return name in [base.__name__ for base in type(thing).__mro__]


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")


def _is_stream(image: Any) -> bool:
    """Whether it is a data set or generator, and neither an image, an item nor a list."""
    if image is None or isinstance(image, (str, bytes, os.PathLike, Image.Image, np.ndarray, dict, list, tuple)):
        return False
    return hasattr(image, "__iter__") or hasattr(image, "__getitem__")


def _stream(items: Any) -> Iterator[Any]:
    """One item after the other, of a data set that has only a length and numbers too."""
    if isinstance(items, Sized) and hasattr(items, "__getitem__"):
        return (items[i] for i in range(len(items)))
    return iter(items)


def _as_items(image: Any, question: Any, regions: Any) -> tuple[list[dict[str, Any]], bool]:
    """The items of a call, and whether it was about one only."""
    if isinstance(image, dict) or (isinstance(image, (list, tuple)) and image and isinstance(image[0], dict)):
        if question is not None or regions is not None:
            raise ValueError("Items bring their questions and regions: give nothing beside them.")
        items = [image] if isinstance(image, dict) else list(image)
        return [_checked(item) for item in items], isinstance(image, dict)
    if (image is None) == (regions is None):
        raise ValueError(f"Give either image or regions, got {'neither' if image is None else 'both'}.")
    if question is None:
        raise ValueError("question is None: give one, or a list of them.")
    name = "image" if regions is None else "regions"
    given = _as_images(image) if regions is None else _as_list(name, regions, _is_a("Regions", regions), "Regions")
    questions = _as_list("question", question, isinstance(question, str), "a text")
    for argument, entries in ((name, given), ("question", questions)):
        if not entries:
            raise ValueError(f"{argument} is an empty list: give one at least.")
    count = max(len(given), len(questions))
    if {len(given), len(questions)} - {1, count}:
        raise ValueError(
            f"{name} is a list of {len(given)}, but question is a list of {len(questions)}: give one each, one "
            f"question for all, or one {name} for all questions."
        )
    given, questions = (found * count if len(found) == 1 else found for found in (given, questions))
    items = [_checked({name: one, "question": text}) for one, text in zip(given, questions, strict=True)]
    lists = isinstance(image, (list, tuple)) or isinstance(regions, (list, tuple)) or not isinstance(question, str)
    return items, not lists and count == 1


def _as_images(image: Any) -> list[ImageInput]:
    if not isinstance(image, (str, bytes, os.PathLike, Image.Image, np.ndarray, list, tuple)):
        raise TypeError(
            "image must be a path, PIL image, uint8 array or a file's bytes, or a list of them, got "
            f"{type(image).__name__}."
        )
    return as_image_list(image)


def _as_list(name: str, given: Any, single: bool, kind: str) -> list[Any]:
    if single:
        return [given]
    if isinstance(given, (bytes, bytearray, dict, set)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be {kind}, or a list of such, got {type(given).__name__}.")
    return list(given)


def _checked(item: Any) -> dict[str, Any]:
    """An item, of which only the image or regions and the question count."""
    if not isinstance(item, dict):
        raise TypeError(
            f"An item must be {{'image': ..., 'question': ...}} or {{'regions': ..., 'question': ...}}, got "
            f"{type(item).__name__}."
        )
    names = [name for name in ("image", "regions") if item.get(name) is not None]
    if len(names) != 1 or item.get("question") is None:
        raise ValueError(
            f"An item needs a question and either an image or regions, got {', '.join(map(str, item)) or 'nothing'}."
        )
    if not isinstance(item["question"], str):
        raise TypeError(f"question must be a text, got {type(item['question']).__name__}.")
    if isinstance(item.get("image"), (str, bytes)) and not item["image"]:
        raise ValueError(f"image is empty, {item['image']!r}: give a path, or the bytes of an image file.")
    return {names[0]: item[names[0]], "question": item["question"]}


def _name(image: ImageInput, listed: bool) -> Hashable:
    """What tells whether two items are about one image: its path, or that it is the same object of a list.

    A stream may fill one array again and again, so there an object is only itself.
    """
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    return id(image) if listed else object()


def _explaining() -> tuple[Any, Any, Any]:
    """What `explain` needs: `relevance`, `whole_words`, `written_words`."""
    try:
        from lxmert.visualization.answer_relevance import relevance
        from lxmert.visualization.word_classes import whole_words, written_words
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"explain=True needs the package lxmert and matplotlib, and {error.name} is missing: pip install "
            "lxmert[plots].",
            name=error.name,
        ) from error
    return relevance, whole_words, written_words


def _words(told: dict[str, Any], relevance: list[float]) -> list[dict[str, Any]]:
    """Words as they stand in the question, each with the relevance of its pieces together."""
    _, whole_words, written_words = _explaining()
    words = whole_words(told["pieces"])
    texts = written_words(told["question"], words)
    return [
        {"word": text, "score": sum(relevance[piece] for piece in word.pieces)}
        for text, word in zip(texts, words, strict=True)
    ]


def _regions(regions: Regions, relevance: list[float]) -> list[dict[str, Any]]:
    order = sorted(range(len(regions)), key=lambda region: -relevance[region])
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [
        {
            "region": region,
            "label": regions.describe(region),
            "box": dict(zip(corners, regions.boxes[region].tolist(), strict=True)),
            "score": relevance[region],
        }
        for region in order
    ]
