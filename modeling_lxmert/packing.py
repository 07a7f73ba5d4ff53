"""Leaving padding out: the states of a padded batch in one row without gaps, and back."""

from typing import NamedTuple

import torch

from lxmert.modeling_lxmert.checks import values_may_be_read

# Below this share of padding, taking it out and putting it back costs more than computing it.
LEAST_PADDING = 0.1


class Packing(NamedTuple):
    """Where the N states that are computed lie in a padded batch of B items of length L.

    Args:
        rows: (N,), the position b * L + l of each; 0 for rows that only fill up.
        places: (B, L), the row of each position; 0 for those left out.
        kept: (B, L), whether a position is computed.
        ends: (B + 1,), int32, where each item begins and, one later, ends: what kernels for varying lengths want.
    """

    rows: torch.Tensor
    places: torch.Tensor
    kept: torch.Tensor
    ends: torch.Tensor

    @property
    def longest(self) -> int:
        """L, a bound of all lengths."""
        return self.places.shape[1]

    def pack(self, states: torch.Tensor) -> torch.Tensor:
        """(B, L, H) to (N, H)."""
        return states.flatten(0, 1).index_select(0, self.rows)

    def unpack(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H) to (B, L, H); what was left out holds the first row's values, for a mask to hide."""
        return states.index_select(0, self.places.flatten()).unflatten(0, self.places.shape)

    def unpack_with_zeros(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H) to (B, L, H), zeros where a position was left out."""
        return self.unpack(states).masked_fill(~self.kept[..., None], 0.0)

    def without_fill(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H), zeros in the rows that only fill up, which kernels for varying lengths leave unwritten."""
        fill = torch.arange(len(self.rows), device=self.ends.device) >= self.ends[-1]
        return states.masked_fill(fill[:, None], 0.0)

    def first(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H) to (B, 1, H), the first state of each item."""
        return states.index_select(0, self.places[:, 0])[:, None]


def packing_of(mask: torch.Tensor | None, count: int | None = None, keep_first: bool = False) -> Packing | None:
    """How to leave out what a mask hides; None where nothing is hidden, or too little to be worth it.

    Args:
        mask: (B, L), 0 for padding; holes are allowed.
        count: the number of positions to compute, or more. Without it only masks on CPU are packed, eagerly: to count
            elsewhere would wait for the device or break a graph.
        keep_first: compute the first position of each item even if it is hidden; it counts then.

    Raises:
        ValueError: a count that is too small, seen on CPU only; elsewhere what then happens is not defined.
    """
    if mask is None:
        return None
    kept = mask != 0
    if keep_first:
        kept[:, 0] = True
    count = _count_of(kept, count)
    if count is None or count > (1 - LEAST_PADDING) * kept.numel():
        return None
    rows, numbers = _rows_of(kept, count)
    ends = torch.nn.functional.pad(kept.sum(1).cumsum(0), (1, 0)).int()
    return Packing(rows, (numbers * kept.flatten()).view(kept.shape), kept, ends)


def ends_of_items(states: torch.Tensor, packing: Packing | None) -> tuple[torch.Tensor, int]:
    """Where each item begins in one row of all, and a bound of their lengths, for states (B, L, H) or packed (N, H)."""
    if packing is not None:
        return packing.ends, packing.longest
    batch, length = states.shape[:2]
    return torch.arange(batch + 1, dtype=torch.int32, device=states.device) * length, length


class Marked(NamedTuple):
    """The n positions of a batch (B, L) where something is to be predicted.

    Args:
        rows: (n,), positions b * L + l.
        real: (n,), False for rows that only fill up.
    """

    rows: torch.Tensor
    real: torch.Tensor

    def take(self, tensor: torch.Tensor) -> torch.Tensor:
        """(B, L, ...) to (n, ...)."""
        return tensor.flatten(0, 1).index_select(0, self.rows)


def marked_positions(mask: torch.Tensor, count: int | None = None) -> Marked | None:
    """Where a mask (B, L) is not 0; None where that cannot be known without waiting for the device.

    Args:
        mask: not 0 where something is to be predicted.
        count: their number, or more; see `packing_of`.

    Raises:
        ValueError: a count that is too small, seen on CPU only.
    """
    marked = mask != 0
    count = _count_of(marked, count)
    if count is None:
        return None
    rows, numbers = _rows_of(marked, count)
    return Marked(rows, torch.arange(count, device=mask.device) <= numbers[-1])


def _count_of(marked: torch.Tensor, count: int | None) -> int | None:
    """The number of marked positions where it may be looked at, else what was given."""
    if not values_may_be_read(marked):
        return count
    found = int(marked.sum())
    if count is not None and count < found:
        raise ValueError(f"The count given is {count}, but {found} positions are to be computed: give that, or more.")
    return found


def _rows_of(marked: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (count,) of what is marked, 0 behind the last, and for each position how many came before (B * L,)."""
    marked = marked.flatten()
    numbers = marked.cumsum(0) - 1
    # Those not marked all go to one row behind the others, which is cut off.
    rows = numbers.new_zeros(count + 1)
    rows = rows.scatter(0, numbers.where(marked, count), torch.arange(marked.numel(), device=marked.device))
    return rows[:count], numbers
