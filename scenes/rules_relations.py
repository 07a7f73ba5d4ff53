"""Relations between objects of a box: one on another, beside each other, between two."""

from collections.abc import Callable

import numpy as np

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.masks import between, related, reverse
from lxmert.scenes.parsing import Table


def _touching(scenes: Scenes) -> np.ndarray:
    return scenes.touching


def _near(scenes: Scenes) -> np.ndarray:
    return scenes.near


def _related_to_many(_: Scenes, pairs: np.ndarray, number: int, mask: np.ndarray) -> np.ndarray:
    """Objects that stand in a relation to at least so many of the mask."""
    return (pairs & mask[..., None, :]).sum(-1) >= number


def _reverse_of(relation: str) -> Callable[[Scenes], np.ndarray]:
    return lambda scenes: reverse(getattr(scenes, relation))


RELATIONS: Table = {
    "RELATION": [
        (
            "^on / ^on top of / ^over / ^above / above of / ^right on top of / directly on top of / right above",
            lambda scenes: scenes.on,
        ),
        ("^on / ^on top of / ^over / ^above / above of", lambda scenes: scenes.above),
        ("^below / ^under / ^underneath / ^beneath / right below|beneath", _reverse_of("on")),
        ("^below / ^under / ^underneath / ^beneath", _reverse_of("above")),
        ("^touching / closely touching / attached to / attached with / that is attached to", _touching),
        ("^near / nearly touching", _near),
    ],
    "R1": [
        ("RELATION N / RELATION a|an|the|another N / THAT RELATION a|an|the N", related),
        ("RELATION PLURALNUM N", _related_to_many),
        ("between|in a|an N / [in] between N / [in] between two|2 N / between the two|2 N", between),
    ],
    "EACHOTHER": [
        ("touching|attached [to|with] each other / that are attached|touching [with|to] each other", _touching),
        ("nearly touching each other", _near),
        ("attached / not separated", _touching),
    ],
}
