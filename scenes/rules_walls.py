"""Walls and corners of boxes: which objects touch them."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.parsing import Table


def _any_wall(scenes: Scenes) -> np.ndarray:
    return reduce(np.logical_or, scenes.walls.values())


def _at(*walls: str) -> Callable[[Scenes], np.ndarray]:
    """Objects that touch all of these walls."""
    return lambda scenes: reduce(np.logical_and, [scenes.walls[wall] for wall in walls])


def _in_corner(*walls: str) -> Callable[[Scenes], np.ndarray]:
    """Objects in a corner that these walls belong to."""

    def meaning(scenes: Scenes) -> np.ndarray:
        beside = scenes.walls["left"] | scenes.walls["right"]
        over = scenes.walls["top"] | scenes.walls["bottom"]
        return reduce(np.logical_and, [scenes.walls[wall] for wall in walls], beside & over)

    return meaning


WALLS: Table = {
    "ART": [("the / a / an / any / the any", None)],
    "WALLNOUN": [("edge / edges / wall / walls / side / sides / line / border", None)],
    "CORNER": [("corner / corners", None)],
    "OFBOX": [("of a|the BOXWORD", None)],
    "BOXWORD": [
        ("box / boxes / tower / towers / grey box|boxes / grey square|squares", None),
        ("square box|boxes / square|squares", None),
    ],
    "TOUCH": [("touching / closely touching / touches / attached to / attached with / in / at", None)],
    "W": [
        ("[ART] WALLNOUN / [ART] WALLNOUN OFBOX", _any_wall),
        ("[ART] base / ART bottom [base|edge|wall|side] / ART bottom OFBOX", _at("bottom")),
        ("ART base OFBOX / ART floor", _at("bottom")),
        ("ART base or edge", _any_wall),
        ("[ART] right WALLNOUN / [ART] right WALLNOUN OFBOX / ART right side WALLNOUN", _at("right")),
        ("[ART] left WALLNOUN / [ART] left WALLNOUN OFBOX / ART left side WALLNOUN", _at("left")),
        ("ART roof|top|ceiling [OFBOX] / ART top WALLNOUN [OFBOX]", _at("top")),
        ("[ART] CORNER [OFBOX] / ART BOXWORD CORNER", _in_corner()),
        ("[ART] right corner [OFBOX]", _in_corner("right")),
        ("[ART] left corner [OFBOX]", _in_corner("left")),
        ("[ART] lower|bottom corner [OFBOX]", _in_corner("bottom")),
        ("[ART] upper|top corner [OFBOX]", _in_corner("top")),
        *[
            (f"[ART] {upright} {side} corner [OFBOX]", _at(upright, side))
            for upright in ("bottom", "top")
            for side in ("left", "right")
        ],
        ("its base|bottom", _at("bottom")),
    ],
}
