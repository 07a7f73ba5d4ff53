"""Boxes and towers, and what is said of each."""

from collections.abc import Callable

import numpy as np

from lxmert.scenes.arrays import BOXES, Scenes
from lxmert.scenes.claims import Claim, Description, Quantifier, at_most, colours_exactly, nothing_but
from lxmert.scenes.masks import itself, lowest_are, meet, only_of, overlap, same_colour
from lxmert.scenes.parsing import Table


def _any_box(scenes: Scenes) -> np.ndarray:
    return np.ones((len(scenes), BOXES), bool)


def _of_height(scenes: Scenes, number: int, *values: np.ndarray) -> np.ndarray:
    """Boxes, the last value, with so many objects."""
    return (scenes.height == number) & values[-1]


def _extreme(smallest: bool) -> Callable[[Scenes], np.ndarray]:
    def meaning(scenes: Scenes) -> np.ndarray:
        wanted = scenes.height.min(-1, keepdims=True) if smallest else scenes.height.max(-1, keepdims=True)
        return scenes.height == wanted

    return meaning


def _holds(_: Scenes, claim: Claim) -> np.ndarray:
    return claim.in_boxes()


def _holds_not(_: Scenes, claim: Claim) -> np.ndarray:
    return ~claim.in_boxes()


def _holds_and(_: Scenes, claim: Claim, boxes: np.ndarray) -> np.ndarray:
    return claim.in_boxes() & boxes


def _some_are(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return meet(mask, within)


def _all_are(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Some are, and none is not."""
    return meet(mask, within) & ~meet(mask, ~within)


def _so_many_are(_: Scenes, quantifier: Quantifier, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return quantifier((mask & within).sum(-1))


def _the_only_one_is(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return (mask.sum(-1) == 1) & meet(mask, within)


def _both_are(_: Scenes, first: np.ndarray, second: np.ndarray, within: np.ndarray) -> np.ndarray:
    return meet(first, within) & meet(second, within)


def _each_is(
    _: Scenes, first: np.ndarray, within: np.ndarray, second: np.ndarray, also_within: np.ndarray
) -> np.ndarray:
    return meet(first, within) & meet(second, also_within)


def _differ(scenes: Scenes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first.any(-1) & second.any(-1) & ~same_colour(scenes, first, second)


def _only_two_colours(scenes: Scenes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return colours_exactly(first, second)(scenes.present).in_boxes()


def _contents_are(scenes: Scenes, *values: np.ndarray | Description) -> np.ndarray:
    """All objects of a box, however they are called, are as the last value describes."""
    return values[-1](scenes.present).in_boxes()  # type: ignore[operator]


def _pairs_of_colours(
    _: Scenes, first: np.ndarray, second: np.ndarray, mask: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    return (pairs & (first & mask)[..., None] & (second & mask)[..., None, :]).any((-1, -2))


def _pairs_of_objects(
    _: Scenes, colour: np.ndarray, mask: np.ndarray, other_colour: np.ndarray, other: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    return (pairs & (colour & mask)[..., None] & (other_colour & other)[..., None, :]).any((-1, -2))


TOWERS: Table = {
    "BW": [
        ("^box / ^boxes / ^tower / ^towers / tower ^block|blocks", _any_box),
        ("grey ^box|boxes|square|squares / square ^box|boxes", _any_box),
    ],
    "BA": [
        ("^BW", itself),
        ("COLOUR ^BW", lambda scenes, colour, _: only_of(scenes, colour)),
        ("NUM NOUN [high] ^BW", _of_height),
        ("single NOUN ^BW", lambda scenes, _, boxes: (scenes.height == 1) & boxes),
        ("NUM ^BW block|blocks / NUM ^BW", _of_height),
    ],
    "B": [("^BA", itself), ("^BA BP / ^BA BP BP / ^BA BP and BP", overlap)],
    "WITH": [
        ("with / which|that|than has|have / which|that|than contain|contains / having / containing / contains", None),
        ("with has / which|that only has / has / of / which is|are / that|which is made of", None),
    ],
    "WITHNOT": [("not having / not with / that|which has no / that|which does not have", None)],
    "CONJ": [("and / but / where / of which / with", None)],
    "LEAST": [
        ("with|containing|having [the] least number of object|objects|items", _extreme(smallest=True)),
        ("which has [the] least number of object|objects|items", _extreme(smallest=True)),
    ],
    "MOST": [("with|containing|having [the] most number of object|objects|items", _extreme(smallest=False))],
    "BP": [
        ("WITH XS / WITH XS each / WITH all XS", _holds),
        ("WITH XS not XS", lambda _, claim, other: claim.in_boxes() & ~other.in_boxes()),
        ("without X / WITHNOT X", _holds_not),
        ("that|which has only N", lambda scenes, mask: nothing_but(scenes, mask).in_boxes()),
        ("where|that|which|and CL / that|which|and has CL / that|which is CL / CONJ CL", itself),
        ("with XS CONJ CL / which has XS CONJ CL / having XS CONJ CL / that has XS CONJ CL", _holds_and),
        ("LEAST / MOST", itself),
        ("and XS / but XS", _holds),
    ],
    "CL": [
        ("[the] PLACE is [only] P / [the] PLACE is [only] P only", _some_are),
        ("[the] PLACE and [the] PLACE [block|blocks] BE [both] P", _both_are),
        ("[the] PLACE is P and [the] PLACE is P", _each_is),
        ("[the] PLACE and [the] PLACE [block|blocks] BE ALIKE", same_colour),
        ("[the] PLACE and [the] PLACE [block|blocks] BE not ALIKE", _differ),
        ("[the] colour|color of the PLACE and PLACE is|are P", _both_are),
        ("[the] color|colour is [only] P", only_of),
        ("[the] color|colour is|are COLOUR and COLOUR", _only_two_colours),
        ("X BE P", lambda _, claim, mask: claim.in_boxes() & mask.any(-1)),
        ("Q N BE P / the Q N BE P", _so_many_are),
        ("the N BE P", _all_are),
        ("none of the N BE P", lambda _, mask, within: ~meet(mask, within)),
        ("Q BE P", lambda scenes, quantifier, within: quantifier((scenes.present & within).sum(-1))),
        ("the only N BE P / the only COLOUR is P", _the_only_one_is),
        ("it|this object is P", lambda scenes, mask: (scenes.height == 1) & meet(scenes.present, mask)),
        ("both NOUN are KIND / [the] NOUN are KIND", _contents_are),
        ("there BE XS", _holds),
        (
            "the NOUN are not more than NUM / the NOUN are at most NUM",
            lambda _, mask, number: at_most(number)(mask.sum(-1)),
        ),
        (
            "the first NUM NOUN [from the base] BE P",
            lambda scenes, number, _, mask: lowest_are(scenes, number, mask),
        ),
        ("a|the COLOUR and [a] COLOUR NOUN are EACHOTHER", _pairs_of_colours),
        ("a|the COLOUR NOUN and [a] COLOUR NOUN are EACHOTHER", _pairs_of_objects),
        ("the three|two|four items|blocks|objects has|have KIND", _contents_are),
    ],
}
