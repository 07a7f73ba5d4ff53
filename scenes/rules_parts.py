"""What is said of a set of objects that was named before: `of which two are blue`."""

import numpy as np

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.claims import Description, Quantifier, counted, none, of_one_colour, some
from lxmert.scenes.masks import itself
from lxmert.scenes.parsing import Table


def _so_many_are(_: Scenes, quantifier: Quantifier, within: np.ndarray) -> Description:
    return lambda mask: counted(mask & within, quantifier)


def _both(_: Scenes, first: Description, second: Description) -> Description:
    return lambda mask: first(mask) & second(mask)


def _two_numbers(
    _: Scenes, many: Quantifier, within: np.ndarray, more: Quantifier, also_within: np.ndarray
) -> Description:
    return lambda mask: counted(mask & within, many) & counted(mask & also_within, more)


def _those_are(_: Scenes, named: np.ndarray, within: np.ndarray) -> Description:
    """Those of the set that are called so all lie within."""
    return lambda mask: counted(mask & named & within, some) & counted(mask & named & ~within, none)


def _all_named_are(_: Scenes, named: np.ndarray, within: np.ndarray) -> Description:
    """All objects that are called so lie within, of the set or not."""
    return lambda mask: counted(named & within, some) & counted(named & ~within, none)


def _so_many_named_are(_: Scenes, quantifier: Quantifier, named: np.ndarray, within: np.ndarray) -> Description:
    return lambda mask: counted(named & within, quantifier)


def _all_are(_: Scenes, *values: np.ndarray) -> Description:
    return lambda mask: counted(mask & ~values[-1], none)


def _so_many_of_one_colour(scenes: Scenes, quantifier: Quantifier, _: Description) -> Description:
    """So many have the same colour; what they share is read as colour, whatever was said."""
    return lambda mask: of_one_colour(scenes, mask, quantifier)


PARTS: Table = {
    "PART": [
        ("Q BE P / the Q BE P / only Q BE P", _so_many_are),
        ("Q of the NOUN BE P", lambda scenes, quantifier, _, within: _so_many_are(scenes, quantifier, within)),
        ("Q of them BE P / Q of which BE P / there BE Q N / there BE only Q N", _so_many_are),
        ("the N BE P / the N BE a|an P", _those_are),
        ("the N BE P", _all_named_are),
        ("Q N BE P", _so_many_named_are),
        ("both are P / both [the] N are P", _all_are),
        ("Q is|are COLOUR NOUN", lambda scenes, quantifier, *both: _so_many_are(scenes, quantifier, both[0] & both[1])),
        ("Q [BE] KIND / the Q BE KIND / the Q has KIND / Q has|have KIND", _so_many_of_one_colour),
        ("Q being a|an N", _so_many_are),
    ],
    "PARTS": [("PART", itself), ("PART and PARTS", _both)],
    "PART2": [("Q N", _so_many_are), ("N", lambda scenes, within: _so_many_are(scenes, some, within))],
    "WHICHPART": [
        ("Q of which BE P / of which Q BE P / of which only Q BE P", _so_many_are),
        ("Q of which BE P and Q BE P / of which Q BE P and Q BE P", _two_numbers),
    ],
}
