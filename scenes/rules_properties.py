"""Properties of objects: colour, size, and their place in a tower."""

from collections.abc import Callable

import numpy as np

from lxmert.scenes.arrays import COLOURS, Scenes
from lxmert.scenes.masks import at_level, base, beneath_top, either, itself, middle, others, top
from lxmert.scenes.parsing import Table


def _of_colour(colour: int) -> Callable[[Scenes], np.ndarray]:
    return lambda scenes: scenes.colour == colour


def _of_size(pixels: int) -> Callable[[Scenes], np.ndarray]:
    return lambda scenes: scenes.size == pixels


PROPERTIES: Table = {
    "COLOUR": [(f"^{name}", _of_colour(colour)) for colour, name in enumerate(COLOURS)],
    "COLOURWORD": [("color / colour / colors / colours / colored", None)],
    "SIZE": [("^small", _of_size(10)), ("^medium", _of_size(20)), ("^big / ^large", _of_size(30))],
    "P": [
        ("^COLOUR / ^COLOUR in COLOURWORD / of [only] ^COLOUR COLOURWORD / ^COLOUR COLOURWORD / ^COLOUR only", itself),
        ("COLOUR or|and COLOUR / either COLOUR or COLOUR", either),
        ("of COLOUR or|and COLOUR COLOURWORD / of either COLOUR or COLOUR COLOURWORD", either),
        ("not P / not the COLOURWORD COLOUR", others),
        ("[a|an|all|both|all a] ^N", itself),
        ("TOUCH W / ^touching W", itself),
        ("^not touching W", others),
        ("nearly|almost ^touching W / ^near W", lambda scenes, _: scenes.near_walls),
        ("^touching W with its side|top|base", itself),
        ("SIZE / of SIZE size", itself),
        ("[at|on|on the|at the|the] ^top [most]", top),
        ("[at|on|on the|at the|the] ^base|bottom", base),
        ("in ART middle / in middle", middle),
    ],
    "PLACE": [
        ("top / top block|item / topmost block", top),
        ("base / bottom / base block / bottom block", base),
        ("middle / middle block / middle item", middle),
        ("second / second block|item / second block|item from the base|bottom", at_level(1)),
        ("third / third block|item / third block|item from the base|bottom", at_level(2)),
        ("block below|beneath the top block", beneath_top),
    ],
}
