"""Names of objects, and what stands before and behind them."""

from collections.abc import Callable

import numpy as np

from lxmert.scenes.arrays import SHAPES, Scenes
from lxmert.scenes.masks import at_level, base, between, by_colour, either, itself, meet, middle, others, overlap, top
from lxmert.scenes.parsing import Table


def _of_shape(shape: int) -> Callable[[Scenes], np.ndarray]:
    return lambda scenes: scenes.shape == shape


def _any_object(scenes: Scenes, *_: np.ndarray) -> np.ndarray:
    return scenes.present


def _among_themselves(_: Scenes, mask: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Objects of the mask that stand in a relation to another of it."""
    return mask & meet(pairs, mask[..., None, :])


def _not_among_themselves(_: Scenes, mask: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return mask & ~meet(pairs, mask[..., None, :])


def _inside(scenes: Scenes, boxes: np.ndarray) -> np.ndarray:
    return scenes.present & boxes[..., None]


def _between_alike(scenes: Scenes, _: np.ndarray) -> np.ndarray:
    """Objects between two of one colour, whatever these are called."""
    return np.logical_or.reduce([between(scenes, colour) for colour in by_colour(scenes)])


OBJECTS: Table = {
    "NOUN": [
        *[(f"^{name} / ^{name}s", _of_shape(shape)) for shape, name in enumerate(SHAPES)],
        ("^rectangle / ^rectangles", _of_shape(0)),
        ("^item / ^items / ^object / ^objects / ^one / ^ones / ^shape / ^shapes", _any_object),
        ("^block / ^blocks", _of_shape(0)),
        *[(f"{name} ^shape|shapes|item|items|object|objects", _of_shape(i)) for i, name in enumerate(SHAPES)],
    ],
    "A": [
        ("COLOUR / COLOUR COLOURWORD / SIZE", itself),
        ("top / top most", top),
        ("base|bottom", base),
        ("middle", middle),
        ("second", at_level(1)),
        ("third", at_level(2)),
        ("other|another", _any_object),
        ("COLOUR or|and COLOUR", either),
    ],
    "AN": [("^NOUN", itself), ("A ^AN", overlap), ("^COLOUR", itself)],
    "N": [
        ("^AN", itself),
        ("^AN R", overlap),
        ("^AN EACHOTHER", _among_themselves),
        ("^AN not EACHOTHER", _not_among_themselves),
    ],
    "R": [("THAT P / P1 / R1", itself)],
    "THAT": [("that|which is|are|has / that|which", None)],
    "BE": [("is / are", None)],
    "P1": [
        ("TOUCH W", itself),
        ("^not touching W / ^not touching only W", others),
        ("nearly|almost ^touching W / ^near W", lambda scenes, _: scenes.near_walls),
        ("^touching W with its side|top|base", itself),
        ("of ^COLOUR COLOURWORD [only]", itself),
        ("of SIZE size / of SIZE size P1", overlap),
        ("at|on [the] ^top / as [the|a] ^top / as [the|a] top most ^block|blocks|item", top),
        ("at|on|as [the|a] ^base|bottom", base),
        ("as [the|a] middle ^block|item / in the middle [of it] / in middle", middle),
        ("as|on|at the ^second level", at_level(1)),
        ("as [the|a] ^top of BX / at|on [the] ^top of BX", lambda scenes, boxes: top(scenes) & boxes[..., None]),
        (
            "as [the|a] ^base|bottom of BX / at|on [the] ^base|bottom of BX",
            lambda scenes, boxes: base(scenes) & boxes[..., None],
        ),
        ("in BX / of BX", _inside),
        ("above|over [the|a] base [block]", at_level(1)),
        ("at|on its ^top", top),
        ("at|on its ^base|bottom", base),
        ("[in] between two NOUN of SAME COLOURWORD / between NOUN of SAME COLOURWORD", _between_alike),
    ],
    "BX": [("^B / a|the|any|this|one|each ^B / one of the ^B", itself)],
}
