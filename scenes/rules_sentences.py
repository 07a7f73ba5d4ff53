"""Whole sentences: what is true of a scene."""

from typing import Any

import numpy as np

from lxmert.scenes.arrays import BOXES, Scenes
from lxmert.scenes.claims import IN_SCENE, Claim, Quantifier, colours, colours_exactly, exactly
from lxmert.scenes.masks import colour_of, lowest_are, meet, only_of, same_colour
from lxmert.scenes.parsing import Table


def _in_so_many_boxes(_: Scenes, claim: Claim, quantifier: Quantifier, boxes: np.ndarray) -> np.ndarray:
    return quantifier((claim.in_boxes() & boxes).sum(-1))


def _in_one_box(_: Scenes, claim: Claim, boxes: np.ndarray) -> np.ndarray:
    return (claim.in_boxes() & boxes).any(-1)


def _so_many_boxes(_: Scenes, quantifier: Quantifier, boxes: np.ndarray) -> np.ndarray:
    return quantifier(boxes.sum(-1))


def _so_many_boxes_hold(scenes: Scenes, quantifier: Quantifier, boxes: np.ndarray, claim: Claim) -> np.ndarray:
    return _in_so_many_boxes(scenes, claim, quantifier, boxes)


def _every_box_holds(_: Scenes, boxes: np.ndarray, claim: Claim) -> np.ndarray:
    return (claim.in_boxes() | ~boxes).all(-1)


def _some_box_holds(_: Scenes, boxes: np.ndarray, claim: Claim) -> np.ndarray:
    return (claim.in_boxes() & boxes).any(-1)


def _the_boxes_hold(scenes: Scenes, boxes: np.ndarray, claim: Claim) -> np.ndarray:
    return _every_box_holds(scenes, boxes, claim) & boxes.any(-1)


def _box_is(scenes: Scenes, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (boxes & only_of(scenes, mask)).any(-1)


def _so_many_boxes_are(scenes: Scenes, quantifier: Quantifier, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return quantifier((boxes & only_of(scenes, mask)).sum(-1))


def _some_are(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return (mask & within).any(IN_SCENE)


def _none_are(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return ~(mask & within).any(IN_SCENE)


def _all_are(_: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return ~(mask & ~within).any(IN_SCENE)


def _some_and_all_are(scenes: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return _some_are(scenes, mask, within) & _all_are(scenes, mask, within)


def _so_many_are(_: Scenes, quantifier: Quantifier, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return quantifier((mask & within).sum(IN_SCENE))


def _only_such_are(scenes: Scenes, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Some objects lie within, and all that do are in the mask."""
    return _some_and_all_are(scenes, within, mask)


def _only_of_two_colours_are(
    scenes: Scenes, first: np.ndarray, second: np.ndarray, mask: np.ndarray, within: np.ndarray
) -> np.ndarray:
    return _only_such_are(scenes, (first | second) & mask, within)


def _only_with_are(scenes: Scenes, owned: np.ndarray, mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    return _only_such_are(scenes, owned & mask, within)


def _place_in_some_box(_: Scenes, place: np.ndarray, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (boxes & meet(place, mask)).any(-1)


def _place_in_the_boxes(_: Scenes, place: np.ndarray, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (~boxes | meet(place, mask)).all(-1) & boxes.any(-1)


def _place_in_every_box(_: Scenes, place: np.ndarray, __: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.all(meet(place, mask), axis=-1)


def _place_in_all_three_boxes(_: Scenes, place: np.ndarray, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (boxes & meet(place, mask)).all(-1)


def _place_in_number_of_boxes(
    _: Scenes, place: np.ndarray, number: int, boxes: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    return (boxes & meet(place, mask)).sum(-1) == number


def _two_places(
    _: Scenes, place: np.ndarray, boxes: np.ndarray, mask: np.ndarray, other: np.ndarray, other_mask: np.ndarray
) -> np.ndarray:
    return (boxes & meet(place, mask) & meet(other, other_mask)).any(-1)


def _both_places(_: Scenes, place: np.ndarray, other: np.ndarray, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (boxes & meet(place, mask) & meet(other, mask)).any(-1)


def _places_alike(scenes: Scenes, place: np.ndarray, other: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return (boxes & same_colour(scenes, place, other)).any(-1)


def _box_of_two_colours(scenes: Scenes, boxes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (boxes & colours_exactly(first, second)(scenes.present).in_boxes()).any(-1)


def _so_many_bases(scenes: Scenes, quantifier: Quantifier, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return quantifier((boxes & meet(scenes.base, mask)).sum(-1))


def _so_many_tops(scenes: Scenes, quantifier: Quantifier, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return quantifier((boxes & meet(scenes.top, mask)).sum(-1))


def _so_many_tops_like_bases(scenes: Scenes, quantifier: Quantifier, boxes: np.ndarray, _: np.ndarray) -> np.ndarray:
    return quantifier((boxes & same_colour(scenes, scenes.top, scenes.base)).sum(-1))


def _so_many_alike(_: Scenes, quantifier: Quantifier, __: np.ndarray, values: np.ndarray) -> np.ndarray:
    """As many boxes as wanted have the same value (S, 3)."""
    most = np.max([(values == values[:, [box]]).sum(-1) for box in range(BOXES)], axis=0)
    return quantifier(np.where(most == 1, 0, most))


def _all_alike(values: np.ndarray) -> np.ndarray:
    return (values == values[:, :1]).all(-1)


def _bases_alike(scenes: Scenes, *_: np.ndarray) -> np.ndarray:
    return _all_alike(colour_of(scenes, scenes.base))


def _tops_alike(scenes: Scenes, *_: Any) -> np.ndarray:
    return _all_alike(colour_of(scenes, scenes.top))


def _heights_differ(scenes: Scenes, *_: np.ndarray) -> np.ndarray:
    return ~_all_alike(scenes.height)


SENTENCES: Table = {
    "THEREBE": [("there is|are / there s|i / the is / there / there be", None)],
    "EVERY": [
        ("each / every / all / all the / all of the / all three / all 3 / all the three|3 / each of the", None),
    ],
    "HAS": [("has / have / contains / contain / has only / contains only / have only / in", None)],
    "THE": [("the / one of the / in the / one of / a", None)],
    "S": [
        ("THEREBE X", lambda _, claim: claim.in_scene()),
        ("THEREBE X and X / THEREBE X with X", lambda _, claim, other: (claim & other).in_scene()),
        ("THEREBE X in|on Q B / THEREBE X touching in Q B", _in_so_many_boxes),
        ("THEREBE Q B / THEREBE only Q B", _so_many_boxes),
        ("THEREBE [as|the|only] B", lambda _, boxes: boxes.any(-1)),
        ("THEREBE XS in EVERY BW / THEREBE XS in EVERY of the BW", lambda _, claim, __: claim.in_boxes().all(-1)),
        ("EVERY B HAS XS / EVERY B HAS XS each / EVERY B with XS", _every_box_holds),
        ("EVERY B do not HAS XS", lambda scenes, boxes, claim: ~_every_box_holds(scenes, boxes, claim)),
        ("Q B HAS XS / Q of [ART] B HAS XS / in Q of ART B there is XS / Q out of ART B HAS XS", _so_many_boxes_hold),
        ("Q B / only Q B", _so_many_boxes),
        ("THE B HAS XS", _some_box_holds),
        ("THE B HAS XS", _the_boxes_hold),
        ("B HAS XS", _some_box_holds),
        ("THE B BE [only] P", _box_is),
        ("Q of [ART] B BE COLOUR", _so_many_boxes_are),
        ("[the|a] N BE P", _some_are),
        ("[the] N BE P / N BE only P", _some_and_all_are),
        ("[the] N BE P", _all_are),
        ("[only|the] Q N BE P", _so_many_are),
        ("only N BE P", _some_are),
        ("only P N BE P", _only_with_are),
        ("only N BE P", _only_such_are),
        ("only COLOUR and COLOUR N BE P", _only_of_two_colours_are),
        ("none of ART N BE P / none of ART N P", _none_are),
        ("all [the|of the] N BE P", _all_are),
        (
            "[the] NOUN of all [the] [three|3] [different] COLOURWORD BE P",
            lambda scenes, mask, within: colours(scenes, exactly(3))(mask & within).in_scene(),
        ),
        ("[the] PLACE of ART B is [only] P / [the] PLACE of ART B is P only", _place_in_some_box),
        ("[the] PLACE of ART B is [only] P", _place_in_the_boxes),
        ("[the] PLACE of EVERY B BE P / all [the] PLACE of ART B BE P", _place_in_every_box),
        ("[the] tops of ART B BE P", lambda scenes, _, mask: meet(scenes.top, mask).all(-1)),
        ("[the] bases of ART B BE P", lambda scenes, _, mask: meet(scenes.base, mask).all(-1)),
        ("[the] PLACE of ART B is P and [the] PLACE is P", _two_places),
        ("[the] PLACE and [the] PLACE of ART B BE P", _both_places),
        ("[the] PLACE and [the] PLACE of ART B BE ALIKE", _places_alike),
        ("[the] colour|color of ART B is COLOUR and COLOUR", _box_of_two_colours),
        ("Q of ART B base is|are COLOUR / Q of ART B HAS COLOUR base", _so_many_bases),
        ("Q of ART B top is|are COLOUR", _so_many_tops),
        (
            "the first NUM NOUN of ART B BE P / the first NUM NOUN from the base of ART B BE P",
            lambda scenes, number, _, boxes, mask: (lowest_are(scenes, number, mask) & boxes).any(-1),
        ),
        ("Q B SAMENESS / THEREBE [only] Q B SAMENESS / Q [out] of ART B SAMENESS", _so_many_alike),
        ("EVERY B SAMENESS / all of the B SAMENESS", lambda _, __, values: _all_alike(values)),
        ("the bases of ART B SAMENESS / the base of ART B BE SAME", _bases_alike),
        ("all the top of the B have SAME COLOURWORD / SAME COLOURWORD is on top in EVERY BW", _tops_alike),
        ("THEREBE only NUM COLOURWORD on the top in EVERY BW", _tops_alike),
        ("THEREBE a different number of NOUN in the BW / the number of NOUN in the BW is different", _heights_differ),
        ("all [the] BW do not have SAME number of NOUN", _heights_differ),
        ("THEREBE X as the base|top of Q B", lambda scenes, _, quantifier, boxes: quantifier(boxes.sum(-1))),
        ("[the] PLACE of the NUM B BE [all] P", _place_in_number_of_boxes),
        (
            "[the] PLACE of the NUM B BE P",
            lambda scenes, place, _, boxes, mask: _place_in_all_three_boxes(scenes, place, boxes, mask),
        ),
        ("[the] PLACE of EVERY B BE P", _place_in_all_three_boxes),
        ("THEREBE X in [the] same BW / THEREBE X in one|a|1 BW", _in_one_box),
        ("THEREBE Q N BE P", _so_many_are),
        ("Q of ART B HAS SAME COLOURWORD NOUN at|on [the] top and base|bottom", _so_many_tops_like_bases),
    ],
}
