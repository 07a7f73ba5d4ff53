"""What phrases about numbers, boxes and sets of objects mean: quantifiers, claims and descriptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from lxmert.scenes.arrays import COLOURS, SHAPES, SIZES, Scenes
from lxmert.scenes.masks import by_colour

Quantifier = Callable[[np.ndarray], np.ndarray]  # numbers of things to whether they are as many as wanted
Axes = tuple[int, ...]
IN_BOX: Axes = (-1,)
IN_SCENE: Axes = (-2, -1)
HIGHEST_TOWER = 4


@dataclass(frozen=True)
class Claim:
    """What is said of the contents of a box, or of all boxes of a scene together.

    Args:
        tests: all of them must hold; each is given the axes of (S, 3, 8) to count along.
    """

    tests: tuple[Callable[[Axes], np.ndarray], ...]

    def in_boxes(self) -> np.ndarray:
        """(S, 3), for which boxes it is true."""
        return self._hold(IN_BOX)

    def in_scene(self) -> np.ndarray:
        """(S,), for which scenes it is true."""
        return self._hold(IN_SCENE)

    def _hold(self, axes: Axes) -> np.ndarray:
        return reduce(np.logical_and, [test(axes) for test in self.tests])

    def __and__(self, other: "Claim") -> "Claim":
        return Claim(self.tests + other.tests)


Description = Callable[[np.ndarray], Claim]  # a set of objects (S, 3, 8) to what is said of it


def some(count: np.ndarray) -> np.ndarray:
    """Whether there is at least one."""
    return count >= 1


def none(count: np.ndarray) -> np.ndarray:
    """Whether there is none."""
    return count == 0


def one(count: np.ndarray) -> np.ndarray:
    """Whether there is exactly one."""
    return count == 1


def exactly(number: int) -> Quantifier:
    """As many as the number."""
    return lambda count: count == number


def at_least(number: int) -> Quantifier:
    """As many as the number, or more."""
    return lambda count: count >= number


def at_most(number: int) -> Quantifier:
    """As many as the number, or fewer."""
    return lambda count: count <= number


def odd(count: np.ndarray) -> np.ndarray:
    """Whether the number is odd."""
    return count % 2 == 1


def even(count: np.ndarray) -> np.ndarray:
    """Whether the number is even."""
    return count % 2 == 0


def counted(mask: np.ndarray, quantifier: Quantifier) -> Claim:
    """The objects of a mask (S, 3, 8) are as many as wanted."""
    return Claim((lambda axes: quantifier(mask.sum(axes)),))


def nothing_but(scenes: Scenes, mask: np.ndarray) -> Claim:
    """There are objects of the mask and no others."""
    return counted(mask, some) & counted(scenes.present & ~mask, none)


def all_of(mask: np.ndarray, quantifier: Quantifier, within: np.ndarray) -> Claim:
    """The objects of a mask are as many as wanted and all lie within another."""
    return counted(mask, quantifier) & counted(mask & ~within, none)


def colours(scenes: Scenes, quantifier: Quantifier) -> Description:
    """A set of objects has as many colours as wanted."""
    return _values(scenes.colour, range(len(COLOURS)), quantifier)


def shapes(scenes: Scenes, quantifier: Quantifier) -> Description:
    """A set of objects has as many shapes as wanted."""
    return _values(scenes.shape, range(len(SHAPES)), quantifier)


def sizes(scenes: Scenes, quantifier: Quantifier) -> Description:
    """A set of objects has as many sizes as wanted."""
    return _values(scenes.size, SIZES, quantifier)


def _values(attribute: np.ndarray, values: Sequence[int], quantifier: Quantifier) -> Description:
    def description(mask: np.ndarray) -> Claim:
        each = [mask & (attribute == value) for value in values]
        return Claim((lambda axes: quantifier(np.sum([part.any(axes) for part in each], axis=0)),))

    return description


def colours_exactly(first: np.ndarray, second: np.ndarray) -> Description:
    """A set holds objects of two colours, given as masks (S, 3, 8), and of no other."""
    return lambda mask: (
        counted(mask & first, some) & counted(mask & second, some) & counted(mask & ~(first | second), none)
    )


def of_one_colour(scenes: Scenes, mask: np.ndarray, quantifier: Quantifier) -> Claim:
    """As many objects of the mask as wanted share a colour."""
    each = [mask & colour for colour in by_colour(scenes)]
    return Claim((lambda axes: np.logical_or.reduce([quantifier(part.sum(axes)) for part in each]),))


def stacked(scenes: Scenes, mask: np.ndarray, quantifier: Quantifier) -> Claim:
    """The longest run of neighbours of a tower that all lie in the mask has as many objects as wanted."""

    def test(axes: Axes) -> np.ndarray:
        longest = np.zeros(mask.shape[:2], int)
        for first in range(HIGHEST_TOWER):
            for last in range(first, HIGHEST_TOWER):
                between = scenes.present & (scenes.level >= first) & (scenes.level <= last)
                whole = (scenes.height > last) & ~(between & ~mask).any(-1)
                longest = np.maximum(longest, whole * (last - first + 1))
        return quantifier(longest if axes == IN_BOX else longest.max(-1))

    return Claim((test,))


def constant(value: Any) -> Callable[[Scenes], Any]:
    """The meaning of words that mean the same in all scenes."""
    return lambda scenes: value


def counted_and_described(_: Scenes, quantifier: Quantifier, mask: np.ndarray, description: Description) -> Claim:
    """As many objects as wanted, of which something more is said."""
    return counted(mask, quantifier) & description(mask)


def described(_: Scenes, mask: np.ndarray, description: Description) -> Claim:
    """There are objects of which something more is said."""
    return counted(mask, some) & description(mask)
