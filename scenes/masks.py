"""Sets of objects and boxes: the meanings that several groups of rules share.

Every function that is a rule's meaning takes the scenes first and then the values of the symbols in the rule.
"""

from collections.abc import Callable
from functools import reduce
from typing import TypeVar

import numpy as np

from lxmert.scenes.arrays import COLOURS, NOTHING, Scenes

Value = TypeVar("Value")


def itself(_: Scenes, value: Value) -> Value:
    """A phrase means what its one symbol means."""
    return value


def overlap(_: Scenes, *masks: np.ndarray) -> np.ndarray:
    """What lies in all sets of objects, or of boxes."""
    return reduce(np.logical_and, masks)


def either(_: Scenes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What lies in one of two sets."""
    return first | second


def others(scenes: Scenes, mask: np.ndarray) -> np.ndarray:
    """(S, 3, 8), the objects outside a set."""
    return scenes.present & ~mask


def top(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), the highest object of each box."""
    return scenes.top


def base(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), the lowest object of each box."""
    return scenes.base


def middle(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), objects that are neither the highest nor the lowest."""
    return scenes.present & ~scenes.top & ~scenes.base


def at_level(level: int) -> Callable[[Scenes], np.ndarray]:
    """Objects of a tower by how many lie below them."""
    return lambda scenes: scenes.level == level


def related(_: Scenes, pairs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(S, 3, 8), the objects that stand in a relation (S, 3, 8, 8) to one of the mask."""
    return (pairs & mask[..., None, :]).any(-1)


def reverse(pairs: np.ndarray) -> np.ndarray:
    """The relation seen from its other side."""
    return pairs.swapaxes(-1, -2)


def between(scenes: Scenes, mask: np.ndarray) -> np.ndarray:
    """(S, 3, 8), objects that stand on one of the mask and carry one of it."""
    return related(scenes, scenes.on, mask) & related(scenes, reverse(scenes.on), mask)


def beneath_top(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), the object that carries the highest one."""
    return related(scenes, reverse(scenes.on), scenes.top)


def on_base(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), the object that stands on the lowest one."""
    return related(scenes, scenes.on, scenes.base)


def over_base(scenes: Scenes) -> np.ndarray:
    """(S, 3, 8), all objects but the lowest."""
    return scenes.present & ~scenes.base


def by_colour(scenes: Scenes) -> list[np.ndarray]:
    """The objects of each colour, (S, 3, 8) each."""
    return [scenes.colour == colour for colour in range(len(COLOURS))]


def meet(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(S, 3), boxes in which two sets of objects share one."""
    return (mask & other).any(-1)


def same_colour(scenes: Scenes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, 3), boxes in which objects of two sets share a colour."""
    return reduce(np.logical_or, [meet(first, colour) & meet(second, colour) for colour in by_colour(scenes)])


def colour_of(scenes: Scenes, mask: np.ndarray) -> np.ndarray:
    """(S, 3), the colour of a mask's object in each box; -1 where there is none, of several the last in `COLOURS`."""
    return np.where(mask, scenes.colour, NOTHING).max(-1)


def only_of(scenes: Scenes, mask: np.ndarray) -> np.ndarray:
    """(S, 3), boxes that hold objects of the mask and no others."""
    return (scenes.height > 0) & ~(scenes.present & ~mask).any(-1)


def lowest_are(scenes: Scenes, number: int, mask: np.ndarray) -> np.ndarray:
    """(S, 3), boxes with at least `number` objects the lowest `number` of which lie in the mask."""
    return (scenes.height >= number) & ~(scenes.present & (scenes.level < number) & ~mask).any(-1)
