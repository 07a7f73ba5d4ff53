"""The words or the regions of a batch on their way through the encoders: padded or packed, once or for many pairs."""

from typing import NamedTuple

import torch

from lxmert.modeling_lxmert.checks import values_may_be_read
from lxmert.modeling_lxmert.packing import Packing, packing_of


class Sequences(NamedTuple):
    """Words or regions of a batch: B items of length L.

    Args:
        states: (B, L, H), or packed (N, H).
        mask: (B, L), 0 for what is hidden; None if nothing is.
        packing: of packed states.
    """

    states: torch.Tensor
    mask: torch.Tensor | None
    packing: Packing | None = None

    @classmethod
    def of(
        cls,
        states: torch.Tensor,
        mask: torch.Tensor | None,
        skip_padding: bool,
        count: int | None = None,
        keep_first: bool = False,
    ) -> "Sequences":
        """States (B, L, H) and their mask (B, L), packed if padding is to be skipped and it is worth it.

        Args:
            states: of all positions.
            mask: 0 for padding.
            skip_padding: allow packing.
            count: see `packing_of`.
            keep_first: compute the first of each item even if it is hidden, because [CLS] is read.
        """
        if mask is not None and values_may_be_read(mask) and bool(mask.all()):
            mask = None
        packing = packing_of(mask, count, keep_first) if skip_padding else None
        return cls(packing.pack(states) if packing else states, mask, packing)

    @property
    def shape(self) -> tuple[int, int]:
        """B and L."""
        batch, length = self.states.shape[:2] if self.packing is None else self.packing.places.shape
        return batch, length

    @property
    def padded(self) -> torch.Tensor:
        """(B, L, H), zeros where a position was left out."""
        return self.states if self.packing is None else self.packing.unpack_with_zeros(self.states)

    @property
    def first(self) -> torch.Tensor:
        """(B, 1, H), the first state of each item."""
        return self.states[:, :1] if self.packing is None else self.packing.first(self.states)

    def repeated(
        self, pairs: int, items: torch.Tensor | None, skip_padding: bool, keep_first: bool = False
    ) -> "Sequences":
        """The items of these numbers (pairs,), or the only one for all pairs; itself where these are all, once."""
        if items is None and self.shape[0] == pairs:
            return self
        count = len(self.packing.rows) * pairs if self.packing and items is None else None
        mask = None if self.mask is None else _items_of(self.mask, pairs, items)
        return Sequences.of(_items_of(self.padded, pairs, items), mask, skip_padding, count, keep_first)


class Repetition(NamedTuple):
    """From the states of sentences or images to those of the pairs that they are part of.

    Args:
        pairs: their number.
        items: (pairs,), the row of each pair's item; None where each has its own, or one is for all.
        before: packing of the items.
        after: packing of the pairs.
    """

    pairs: int
    items: torch.Tensor | None
    before: Packing | None
    after: Packing | None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """(C, L, H) of C items to (pairs, L, H); each may be packed."""
        padded = states if self.before is None else self.before.unpack(states)
        repeated = _items_of(padded, self.pairs, self.items)
        return repeated if self.after is None else self.after.pack(repeated)


class PairsOrigin(NamedTuple):
    """The sentences and images that the words and regions of pairs were repeated from.

    What the first cross-attention makes of a sentence or an image alone is then computed once for each.

    Args:
        texts: states of the sentences.
        images: states of the images.
        to_words: makes the pairs' words of the sentences.
        to_regions: makes the pairs' regions of the images.
    """

    texts: torch.Tensor
    images: torch.Tensor
    to_words: Repetition
    to_regions: Repetition


def pair(
    texts: Sequences,
    images: Sequences,
    pairs: int,
    text_indices: torch.Tensor | None,
    image_indices: torch.Tensor | None,
    skip_words: bool,
    skip_regions: bool,
) -> tuple[Sequences, Sequences, PairsOrigin | None]:
    """Words and regions of all pairs, and where they come from; None where each sentence and image is in one pair.

    Args:
        texts: C sentences.
        images: I images.
        pairs: their number.
        text_indices: (pairs,), the row of each pair's sentence; None where each has its own, or one is for all.
        image_indices: (pairs,), likewise.
        skip_words: leave padding out of the pairs' words.
        skip_regions: likewise of regions.
    """
    words = texts.repeated(pairs, text_indices, skip_words, keep_first=True)
    regions = images.repeated(pairs, image_indices, skip_regions)
    if words is texts and regions is images:
        return words, regions, None
    origin = PairsOrigin(
        texts.states,
        images.states,
        Repetition(pairs, text_indices if words is not texts else None, texts.packing, words.packing),
        Repetition(pairs, image_indices if regions is not images else None, images.packing, regions.packing),
    )
    return words, regions, origin


def _items_of(tensor: torch.Tensor, pairs: int, items: torch.Tensor | None) -> torch.Tensor:
    chosen = tensor if items is None else tensor.index_select(0, items)
    return chosen.expand(pairs, *tensor.shape[1:])
