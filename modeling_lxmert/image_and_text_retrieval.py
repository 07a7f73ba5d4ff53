"""`LxmertForImageAndTextRetrieval`: does a sentence describe an image? The matching of pre-training (section 3.1.3)."""

from collections.abc import Collection, Iterator, Mapping

import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from lxmert.configuration import LxmertConfig
from lxmert.configuration.plain_errors import unknown_keywords_message
from lxmert.modeling_lxmert.checks import check_class_ids, check_regions, check_words
from lxmert.modeling_lxmert.heads import LxmertMatchingHead
from lxmert.modeling_lxmert.labels import with_class_texts
from lxmert.modeling_lxmert.losses import cross_modality_matching_loss
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel
from lxmert.modeling_lxmert.modes import evaluating
from lxmert.modeling_lxmert.outputs import LxmertForImageAndTextRetrievalOutput

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "inputs_embeds")
IMAGE_INPUTS = ("visual_feats", "visual_pos", "visual_attention_mask")
Tensors = Mapping[str, torch.Tensor]


class LxmertForImageAndTextRetrieval(LxmertPreTrainedModel):
    """LXMERT with the matching head of pre-training, to find the images of a text and the texts of an image.

    The head has the names that it has in pre-training (`cls.seq_relationship`), so that a checkpoint of pre-training
    works without any training. The classes are always "not matched" and "matched": `config` is a copy that says so,
    whatever the given configuration says.

    Example:
        >>> from lxmert import LxmertConfig
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, visual_feat_dim=8)
        >>> model = LxmertForImageAndTextRetrieval(config).eval()
        >>> texts = {"input_ids": torch.tensor([[101, 2054, 102]] * 2)}
        >>> images = {"visual_feats": torch.zeros(3, 5, 8), "visual_pos": torch.zeros(3, 5, 4)}
        >>> model.score_all_pairs(texts, images, progress=False).shape
        torch.Size([2, 3, 2])
    """

    _keys_to_ignore_on_load_unexpected = [
        r"^cls\.predictions\.",
        r"^obj_predict_head\.",
        r"^answer_head\.",
        r"^grounding_head\.",
    ]  # of pre-training

    def __init__(self, config: LxmertConfig):
        super().__init__(with_class_texts(config, ["not matched", "matched"]))
        self.lxmert = LxmertModel(self.config)
        self.cls = LxmertMatchingHead(self.config)
        self.post_init()

    def parameters_without_gradient(self) -> list[str]:
        """The vision branch behind the last cross-attention: the head reads [CLS] and never sees it."""
        return self.parameters_unread(words=True, regions=False)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        visual_feats: torch.Tensor | None = None,
        visual_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        visual_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        encoded_text: torch.Tensor | None = None,
        encoded_regions: torch.Tensor | None = None,
        text_indices: torch.Tensor | None = None,
        image_indices: torch.Tensor | None = None,
        word_count: int | None = None,
        region_count: int | None = None,
    ) -> LxmertForImageAndTextRetrievalOutput | tuple:
        """Judge B pairs of a text and an image; arguments and errors as in `LxmertModel.forward`.

        Args:
            labels: (B,), 1 where the text belongs to the image, 0 where not, -100 or -1 for none; see
                `cross_modality_matching_loss`.

        Raises:
            TypeError: labels that are no whole numbers.
            ValueError: labels of another shape, or, on CPU, out of range.
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        encoded = self.lxmert(
            input_ids=input_ids,
            visual_feats=visual_feats,
            visual_pos=visual_pos,
            attention_mask=attention_mask,
            visual_attention_mask=visual_attention_mask,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            encoded_text=encoded_text,
            encoded_regions=encoded_regions,
            pooled_only=True,
            text_indices=text_indices,
            image_indices=image_indices,
            word_count=word_count,
            region_count=region_count,
        )
        logits = self.cls(encoded.pooled_output)
        loss = None
        if labels is not None:
            check_class_ids("labels", labels, (len(logits),), 2)
            loss = cross_modality_matching_loss(logits, labels)
        output = LxmertForImageAndTextRetrievalOutput(loss=loss, logits=logits, **encoded.states_and_maps())
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def score_all_pairs(
        self, texts: Tensors, images: Tensors, pairs_per_tile: int = 256, progress: bool = True
    ) -> torch.Tensor:
        """Logits of each of C texts with each of I images.

        The language encoder runs once for each text, the object-relationship encoder once for each image, and only the
        cross-modality encoder for each pair: at the paper's size, with 20 words and 36 regions, half the time that
        `forward` takes for all pairs. Beside the inputs, memory holds the encoded texts and images and one tile.

        Args:
            texts: keywords of `forward` about C texts, as `processor(text=...)` gives.
            images: keywords of `forward` about I images, as `processor(regions=...)` or `processor(images=...)` gives.
            pairs_per_tile: pairs that run at once; also texts, and images.
            progress: show bars with the time left.

        Returns:
            (C, I, 2) on the CPU, logits of "not matched" and "matched"; `forward` on each pair gives the same.

        Raises:
            TypeError: a keyword that is not about texts, or not about images.
            ValueError: as `forward`, or `pairs_per_tile` below 1.
        """
        if not isinstance(pairs_per_tile, int) or isinstance(pairs_per_tile, bool) or pairs_per_tile < 1:
            raise ValueError(f"pairs_per_tile must be a whole number of at least 1, got {pairs_per_tile!r}.")
        texts, images = ({name: given[name] for name in given if given[name] is not None} for given in (texts, images))
        _refuse_others("texts", texts, TEXT_INPUTS)
        _refuse_others("images", images, IMAGE_INPUTS)
        check_words(
            self.config,
            input_ids=texts.get("input_ids"),
            inputs_embeds=texts.get("inputs_embeds"),
            attention_mask=texts.get("attention_mask"),
            token_type_ids=texts.get("token_type_ids"),
        )
        check_regions(
            self.config,
            visual_feats=images.get("visual_feats"),
            visual_pos=images.get("visual_pos"),
            visual_attention_mask=images.get("visual_attention_mask"),
        )

        with evaluating(self):  # a score must not depend on dropout
            return self._scores(texts, images, pairs_per_tile, progress)

    def _scores(self, texts: Tensors, images: Tensors, pairs_per_tile: int, progress: bool) -> torch.Tensor:
        """(C, I, 2), of what was checked."""
        lengths = _lengths(texts)
        order = lengths.argsort(stable=True)  # a tile is as wide as its longest text
        lengths, texts = lengths[order], {name: tensor[order.to(tensor.device)] for name, tensor in texts.items()}
        encoded_text = self._encode_texts(texts, lengths, pairs_per_tile, progress)
        encoded_regions = self._encode_images(images, pairs_per_tile, progress)
        text_mask, image_mask = (
            None if mask is None else mask.to(self.device)
            for mask in (texts.get("attention_mask"), images.get("visual_attention_mask"))
        )

        count = len(encoded_regions)
        scores = torch.empty(len(encoded_text), count, 2, dtype=encoded_text.dtype)
        for rows in _slices(len(encoded_text) * count, pairs_per_tile, "pairs", progress):
            pairs = torch.arange(rows.start, rows.stop)
            length = int(lengths[pairs[-1] // count])
            # the texts and images of the tile, and which of them make up each pair
            (of_texts, text_indices), (of_images, image_indices) = (
                (found.to(self.device), numbers.to(self.device))
                for found, numbers in (
                    torch.unique(pairs // count, return_inverse=True),
                    torch.unique(pairs % count, return_inverse=True),
                )
            )
            logits = self(
                encoded_text=encoded_text[of_texts, :length],
                encoded_regions=encoded_regions[of_images],
                attention_mask=None if text_mask is None else text_mask[of_texts, :length],
                visual_attention_mask=None if image_mask is None else image_mask[of_images],
                text_indices=text_indices,
                image_indices=image_indices,
                output_attentions=False,
                output_hidden_states=False,
                return_dict=True,
            ).logits
            scores.view(-1, 2)[rows] = logits.to(scores)
        result = torch.empty_like(scores)
        result[order] = scores
        return result

    def _encode_texts(self, texts: Tensors, lengths: torch.Tensor, size: int, progress: bool) -> torch.Tensor:
        """(C, T, H) of texts that are ordered by their lengths, zeros behind the shorter ones."""
        encoded = []
        for rows in _slices(len(lengths), size, "texts", progress):
            longest = int(lengths[rows.stop - 1])
            batch = {name: tensor[rows, :longest].to(self.device) for name, tensor in texts.items()}
            encoded.append(F.pad(self.lxmert.encode_text(**batch), (0, 0, 0, int(lengths[-1]) - longest)))
        return torch.cat(encoded)

    def _encode_images(self, images: Tensors, size: int, progress: bool) -> torch.Tensor:
        """(I, R, H)."""
        encoded = []
        for rows in _slices(len(images["visual_feats"]), size, "images", progress):
            batch = {name: tensor[rows].to(self.device) for name, tensor in images.items()}
            encoded.append(self.lxmert.encode_regions(**batch))
        return torch.cat(encoded)


def _refuse_others(argument: str, given: Collection[str], known: tuple[str, ...]) -> None:
    if unknown := set(given) - set(known):
        message = unknown_keywords_message(f"score_all_pairs({argument}=...)", unknown, known)
        raise TypeError(f"{message}; it takes {', '.join(known)}.")


def _lengths(texts: Tensors) -> torch.Tensor:
    """(C,), the number of words up to the last one that is no padding."""
    mask = texts.get("attention_mask")
    if mask is None:
        words = texts["input_ids"] if "input_ids" in texts else texts["inputs_embeds"]
        return torch.full(words.shape[:1], words.shape[1])
    positions = torch.arange(1, mask.shape[1] + 1)
    return (positions * (mask.cpu() != 0)).amax(dim=1)


def _slices(count: int, size: int, unit: str, progress: bool) -> Iterator[slice]:
    with tqdm(total=count, unit=f" {unit}", desc=unit, disable=not progress) as bar:
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield slice(start, stop)
            bar.update(stop - start)
