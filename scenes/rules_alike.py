"""What is the same and what is different: objects of a set, parts of a tower, and boxes."""

import numpy as np

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.claims import Description, at_least, colours, colours_exactly, exactly, one, shapes, sizes
from lxmert.scenes.masks import colour_of
from lxmert.scenes.parsing import Table


def _one_shape_and_colour(scenes: Scenes) -> Description:
    return lambda mask: shapes(scenes, one)(mask) & colours(scenes, one)(mask)


def _two_colours(_: Scenes, first: np.ndarray, second: np.ndarray) -> Description:
    return colours_exactly(first, second)


def _height(scenes: Scenes, *_: np.ndarray) -> np.ndarray:
    return scenes.height


def _base_colour(scenes: Scenes, *_: np.ndarray) -> np.ndarray:
    return colour_of(scenes, scenes.base)


def _top_colour(scenes: Scenes) -> np.ndarray:
    return colour_of(scenes, scenes.top)


ALIKE: Table = {
    "SAME": [("[the] same / the the same / a single / one / 1 / only one|1 / exactly same / a same", None)],
    "OF": [("of / with / in / of only / with only / has / have / has only / in only", None)],
    "KIND": [
        (
            "OF SAME COLOURWORD / SAME COLOURWORD / SAME in COLOURWORD / of SAME COLOURWORD each",
            lambda scenes: colours(scenes, one),
        ),
        ("OF SAME shape|type / SAME shape / SAME in shape", lambda scenes: shapes(scenes, one)),
        ("OF SAME size / SAME size / SAME in size", lambda scenes: sizes(scenes, one)),
        ("OF SAME shape and COLOURWORD / SAME", _one_shape_and_colour),
        (
            "OF different COLOURWORD / of different in COLOURWORD / not SAME in COLOURWORD / has different COLOURWORD",
            lambda scenes: colours(scenes, at_least(2)),
        ),
        ("OF different shape|shapes", lambda scenes: shapes(scenes, at_least(2))),
        ("OF different size|sizes", lambda scenes: sizes(scenes, at_least(2))),
        (
            "OF [only|exactly] PLURALNUM [different] COLOURWORD",
            lambda scenes, number: colours(scenes, exactly(number)),
        ),
        ("OF at least NUM different COLOURWORD", lambda scenes, number: colours(scenes, at_least(number))),
        ("OF all [the] [three|3] [different] COLOURWORD", lambda scenes: colours(scenes, exactly(3))),
        ("OF [only|exactly] PLURALNUM different shapes", lambda scenes, number: shapes(scenes, exactly(number))),
        ("OF COLOUR and COLOUR COLOURWORD [only] / OF a COLOUR and a COLOUR COLOURWORD each", _two_colours),
        ("COLOUR and COLOUR [in COLOURWORD]", _two_colours),
    ],
    "ALIKE": [("SAME / SAME COLOURWORD / SAME in COLOURWORD / of SAME COLOURWORD / SAME COLOURWORD NOUN", None)],
    "SAMENESS": [
        ("[that|which] has|have SAME height / BE SAME in height / that|which BE SAME in height", _height),
        ("with SAME height / [that|which] has|have SAME number of NOUN [each] / with SAME number of NOUN", _height),
        ("[that|which] has|have SAME base / has|have SAME base COLOURWORD / with SAME base COLOURWORD", _base_colour),
        ("that|which has SAME base COLOURWORD / has|have SAME COLOURWORD base / BE all SAME", _base_colour),
        ("has|have SAME COLOURWORD NOUN at the base", _base_colour),
        ("[that|which] has|have SAME top / has|have SAME top COLOURWORD", _top_colour),
        ("has|have SAME COLOURWORD on|at top / has|have SAME COLOURWORD", _top_colour),
    ],
}
