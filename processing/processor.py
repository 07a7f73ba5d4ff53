"""`LxmertProcessor`: from questions and regions to the tensors that a model takes."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from lxmert.processing.region_extractor import ImageInput, RegionExtractor, as_image_list
from lxmert.processing.regions import Regions


class LxmertProcessor(ProcessorMixin):
    """A tokenizer for the question and, optionally, a region extractor for the picture.

    Both are saved and loaded together, with `save_pretrained` and `from_pretrained` or `AutoProcessor`.

    Args:
        tokenizer: a `BertTokenizer`.
        region_extractor: makes `processor(text=..., images=...)` possible; an extractor or its `to_dict()`.

    Example:
        >>> processor = LxmertProcessor(train_wordpiece_tokenizer(["is it red?", "is it round?"]))
        >>> regions = Regions(features=np.zeros((2, 8)), boxes=[[0, 0, 9, 9], [1, 1, 5, 5]], image_size=(9, 9))
        >>> {name: tuple(tensor.shape) for name, tensor in processor(text="is it red?", regions=regions).items()}
        {'input_ids': (1, 6), 'token_type_ids': (1, 6), 'attention_mask': (1, 6), 'visual_feats': (1, 2, 8), \
'visual_pos': (1, 2, 4), 'visual_attention_mask': (1, 2)}
    """

    tokenizer: PreTrainedTokenizerBase

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        region_extractor: RegionExtractor | dict[str, Any] | None = None,
    ):
        super().__init__(tokenizer)
        if isinstance(region_extractor, dict):
            region_extractor = RegionExtractor.from_dict(region_extractor)
        self.region_extractor = region_extractor

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that a call returns."""
        text = ["input_ids", "token_type_ids", "attention_mask"]
        return [*text, "visual_feats", "visual_pos", "visual_attention_mask"]

    def to_dict(self) -> dict[str, Any]:
        """Content of processor_config.json."""
        extractor = self.region_extractor
        # transformers notes here in which file of a checkpoint's own code the class is
        of_checkpoint = {"auto_map": self.auto_map} if hasattr(self, "auto_map") else {}
        return {
            **of_checkpoint,
            "processor_class": type(self).__name__,
            "region_extractor": None if extractor is None else extractor.to_dict(),
        }

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        regions: Regions | Sequence[Regions] | Sequence[Sequence[Regions]] | None = None,
        images: ImageInput | Sequence[ImageInput] | None = None,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Literal["pt", "np"] = "pt",
    ) -> BatchFeature:
        """Tokenize questions, normalise boxes, and pad both sides to the longest of the batch.

        Args:
            text: B questions.
            regions: B times `Regions`, or one for all questions. B pairs `[[left, right], ...]`, or one for all, where
                a sentence is about two images (NLVR2).
            images: B pictures (PIL, array or path) instead of regions, or one for all questions; or pairs of them.
            truncation: cut questions that are longer than `max_length`; without it they are refused.
            max_length: largest number of tokens, [CLS] and [SEP] counted; the tokenizer's `model_max_length` if None.
            return_tensors: "pt" for PyTorch, "np" for numpy.

        Returns:
            With text: `input_ids`, `token_type_ids`, `attention_mask`, (B, T), int64. With regions or images:
            `visual_feats` (B, R, D) and `visual_pos` (B, R, 4), float32, boxes in [0, 1], and `visual_attention_mask`
            (B, R), int64; from pairs (B, 2, R, D), (B, 2, R, 4) and (B, 2, R). Masks are 1 for what is there and 0 for
            padding.

        Raises:
            TypeError: text that is no string, regions that are no `Regions`, or an unknown keyword.
            ValueError: nothing given, both regions and images, an empty question, a question that is too long, counts
                that do not match, pairs of another size than 2 or mixed with single ones, features of different widths,
                or images without an extractor.
        """
        if text is None and regions is None and images is None:
            raise ValueError("Give text, regions or images: all three are None.")
        data: dict[str, np.ndarray] = {}
        if text is not None:
            data |= self._tokenize(text, truncation, max_length)
        if regions is not None or images is not None:
            count = len(data["input_ids"]) if data else None
            found, each = self._regions_for(regions, images, count)
            padded = _pad_regions(found)
            if each == 2:
                padded = {name: array.reshape(-1, 2, *array.shape[1:]) for name, array in padded.items()}
            data |= padded
        return BatchFeature(data, tensor_type=return_tensors)

    def _tokenize(self, text: str | Sequence[str], truncation: bool, max_length: int | None) -> dict[str, np.ndarray]:
        questions = [text] if isinstance(text, str) else list(text)
        if not questions:
            raise ValueError("text holds no question.")
        for i, question in enumerate(questions):
            if not isinstance(question, str):
                raise TypeError(f"text must be questions, got {type(question).__name__} as number {i}.")
            if not question.strip():
                raise ValueError(f"text has an empty question as number {i}.")
        limit = self.tokenizer.model_max_length if max_length is None else max_length
        encoded = self.tokenizer(questions, padding=True, truncation=truncation, max_length=limit, verbose=False)
        lengths = [sum(mask) for mask in encoded["attention_mask"]]
        if max(lengths) > limit:
            worst = int(np.argmax(lengths))
            raise ValueError(
                f"text has a question of {lengths[worst]} tokens as number {worst}, the limit is {limit}: shorten it, "
                f"or pass truncation=True to cut it: {questions[worst][:80]!r}"
            )
        if min(lengths) <= self.tokenizer.num_special_tokens_to_add():
            empty = int(np.argmin(lengths))
            raise ValueError(f"text has a question without a token as number {empty}: {questions[empty][:80]!r}")
        names = ("input_ids", "token_type_ids", "attention_mask")
        return {name: np.array(encoded[name], dtype=np.int64) for name in names}

    def _regions_for(self, regions: Any, images: Any, count: int | None) -> tuple[list[Regions], int]:
        """Regions of all images in one row, and how many images each question has: 1, or 2."""
        if regions is not None and images is not None:
            raise ValueError("Give either regions or images, got both.")
        if images is not None:
            if self.region_extractor is None:
                raise ValueError(
                    "This processor has no region extractor: give regions instead of images, or build it with "
                    "LxmertProcessor(tokenizer, region_extractor)."
                )
            pictures, each = _in_one_row("images", as_image_list(images))
            found = self.region_extractor(pictures)
        else:
            found, each = _in_one_row("regions", [regions] if isinstance(regions, Regions) else list(regions))
            for i, item in enumerate(found):
                if not isinstance(item, Regions):
                    raise TypeError(f"regions must be lxmert.Regions, got {type(item).__name__} as number {i}.")
        if not found:
            raise ValueError("regions (or images) is an empty list: every question needs an image.")
        if count is None:
            return found, each
        if len(found) == each:
            found = found * count
        if len(found) != count * each:
            kind = "pairs of images" if each == 2 else "images"
            hint = "; the two images of one sentence are written [[left, right]]" if len(found) == 2 * count else ""
            raise ValueError(
                f"text has {count} questions but there are {len(found) // each} {kind}: give one each, or one{hint}."
            )
        return found, each


def _in_one_row(name: str, items: list[Any]) -> tuple[list[Any], int]:
    """The items, those of pairs one behind the other, and how many belong together: 1, or 2 for pairs."""
    paired = [isinstance(item, (list, tuple)) for item in items]
    if not any(paired):
        return items, 1
    if not all(paired):
        raise ValueError(
            f"{name} mixes pairs with single images (number {paired.index(False)}): give every question a pair "
            "[left, right], or none."
        )
    for i, pair in enumerate(items):
        if len(pair) != 2:
            raise ValueError(f"{name} must be pairs [left, right] where they are lists, got {len(pair)} as number {i}.")
    return [item for pair in items for item in pair], 2


def _pad_regions(regions: list[Regions]) -> dict[str, np.ndarray]:
    """Stack regions of different counts, zeros behind the shorter ones."""
    widths = {item.features.shape[1] for item in regions}
    if len(widths) > 1:
        raise ValueError(f"regions have features of different widths, {sorted(widths)}: use one extractor for all.")
    batch, longest = len(regions), max(len(item) for item in regions)
    visual_feats = np.zeros((batch, longest, widths.pop()), dtype=np.float32)
    visual_pos = np.zeros((batch, longest, 4), dtype=np.float32)
    visual_attention_mask = np.zeros((batch, longest), dtype=np.int64)
    for i, item in enumerate(regions):
        visual_feats[i, : len(item)] = item.features
        visual_pos[i, : len(item)] = item.normalized_boxes
        visual_attention_mask[i, : len(item)] = 1
    return {"visual_feats": visual_feats, "visual_pos": visual_pos, "visual_attention_mask": visual_attention_mask}
