"""Encoded regions kept for further questions about the same images."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch.nn.functional import pad

from lxmert.modeling_lxmert.checks import check_regions
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel

Tensors = Mapping[str, torch.Tensor]


class EncodedRegionCache:
    """The states of the object-relationship encoder by image, so that each image is encoded once for all questions.

    A quarter of the work on an image and a question is about the image alone (section 2.2; at the paper's size, with
    36 regions). What is kept is that of the weights as they were: after training on, call `forget`.

    Args:
        model: in evaluation mode; any LXMERT with a base model for one image per sentence.
        max_images: of which states are kept, those asked for last; each takes R x H numbers, 110 kB at the paper's size
            in float32.

    Raises:
        ValueError: `max_images` below 1.

    Example:
        >>> from lxmert import LxmertConfig, LxmertForQuestionAnswering
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, visual_feat_dim=8)
        >>> model = LxmertForQuestionAnswering(config).eval()
        >>> cache = EncodedRegionCache(model)
        >>> image = {"visual_feats": torch.zeros(1, 5, 8), "visual_pos": torch.zeros(1, 5, 4)}
        >>> for question in ([[101, 2054, 102]], [[101, 2003, 102]]):  # encoded at the first one only
        ...     scores = model(torch.tensor(question), **cache(["photo.jpg"], image)).logits
        >>> cache.encoded, cache.found
        (1, 1)
    """

    def __init__(self, model: LxmertPreTrainedModel, max_images: int = 1000):
        if not isinstance(max_images, int) or isinstance(max_images, bool) or max_images < 1:
            raise ValueError(f"max_images must be a whole number of at least 1, got {max_images!r}.")
        self.model = model
        self.max_images = max_images
        self.encoded = 0
        self.found = 0
        self._states: OrderedDict[Hashable, torch.Tensor] = OrderedDict()  # (regions that are no padding, H)

    def __len__(self) -> int:
        """Images of which states are kept."""
        return len(self._states)

    def forget(self) -> None:
        """Keep nothing, for instance because the model's weights, their type or device changed."""
        self._states.clear()

    @torch.no_grad()
    def __call__(
        self, images: Sequence[Hashable], regions: Tensors | Callable[[list[int]], Tensors]
    ) -> dict[str, torch.Tensor]:
        """The regions of B sentences' images, as keywords of the model.

        Args:
            images: of each sentence, what tells its image from others: an id, a path, a digest.
            regions: `visual_feats` (B, R, D), `visual_pos` (B, R, 4) and, where padded, `visual_attention_mask` (B, R);
                or a function that gives these for some of the rows 0..B-1, called with those of images that are not
                kept, so that others need not even be read.

        Returns:
            `encoded_regions` (I, R, H) of the I different images, `image_indices` (B,) and `visual_attention_mask`
            (I, R); of regions behind a mask's hole nothing is kept.

        Raises:
            TypeError: a text in place of a list.
            ValueError: no image, a model in training mode, regions that do not fit the model or their number.
        """
        if isinstance(images, str):
            raise TypeError(f"images must be a list, one for each sentence, got the text {images!r}.")
        if not images:
            raise ValueError("images is empty: name the image of each sentence.")
        if self.model.training:
            raise ValueError("The model is in training mode, where dropout would be kept: call model.eval() first.")
        different = list(dict.fromkeys(images))
        missing = [image for image in different if image not in self._states]
        here = {image: self._states[image] for image in different if image in self._states}
        if missing:
            here |= self._encode(missing, [images.index(image) for image in missing], regions, len(images))
        self.encoded, self.found = self.encoded + len(missing), self.found + len(different) - len(missing)
        for image in different:
            self._states[image] = here[image]
            self._states.move_to_end(image)
        while len(self._states) > self.max_images:
            self._states.popitem(last=False)
        return _as_keywords([here[image] for image in different], [different.index(image) for image in images])

    def _encode(
        self,
        missing: list[Hashable],
        rows: list[int],
        regions: Tensors | Callable[[list[int]], Tensors],
        sentences: int,
    ) -> dict[Hashable, torch.Tensor]:
        """States of each image, without padding."""
        if callable(regions):
            given = regions(rows)
        else:
            there = {name: tensor for name, tensor in regions.items() if tensor is not None}
            given = {name: tensor[_rows(tensor, rows)] for name, tensor in there.items()}
        model = self.model.base_model
        assert isinstance(model, LxmertModel)
        check_regions(
            model.config, given.get("visual_feats"), given.get("visual_pos"), given.get("visual_attention_mask")
        )
        if len(given["visual_feats"]) != len(rows):
            raise ValueError(f"regions gave {len(given['visual_feats'])} images for {len(rows)} of {sentences} rows.")
        given = {name: tensor.to(model.device) for name, tensor in given.items()}
        mask = given.get("visual_attention_mask")
        states = model.encode_regions(**given)
        if mask is None:
            return dict(zip(missing, [each.clone() for each in states], strict=True))
        places = [
            row.nonzero()[:, 0].to(states.device) for row in mask.cpu()
        ]  # one wait for a device, not one an image
        return dict(zip(missing, [each[place] for each, place in zip(states, places, strict=True)], strict=True))


def _rows(tensor: torch.Tensor, rows: list[int]) -> torch.Tensor:
    if max(rows) >= len(tensor):
        raise ValueError(
            f"regions has {len(tensor)} rows, but images names row {max(rows)}: give one for each sentence."
        )
    return torch.tensor(rows, device=tensor.device)


def _as_keywords(states: list[torch.Tensor], rows: list[int]) -> dict[str, torch.Tensor]:
    longest = max(map(len, states))
    device = states[0].device
    lengths = torch.tensor([len(each) for each in states], device=device)
    return {
        "encoded_regions": torch.stack([pad(each, (0, 0, 0, longest - len(each))) for each in states]),
        "visual_attention_mask": (torch.arange(longest, device=device) < lengths[:, None]).long(),
        "image_indices": torch.tensor(rows, device=device),
    }
