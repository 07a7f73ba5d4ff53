"""What is said of the contents of a box or of a scene."""

from typing import Any

import numpy as np

from lxmert.scenes.arrays import Scenes
from lxmert.scenes.claims import (
    Claim,
    Quantifier,
    all_of,
    at_least,
    at_most,
    colours,
    colours_exactly,
    counted,
    counted_and_described,
    described,
    even,
    exactly,
    none,
    nothing_but,
    odd,
    of_one_colour,
    one,
    some,
    stacked,
)
from lxmert.scenes.masks import beneath_top, itself, on_base, over_base
from lxmert.scenes.parsing import Table


def _so_many(_: Scenes, quantifier: Quantifier, mask: np.ndarray, *__: np.ndarray) -> Claim:
    return counted(mask, quantifier)


def _some(_: Scenes, mask: np.ndarray) -> Claim:
    return counted(mask, some)


def _so_many_and_nothing_else(scenes: Scenes, number: int, mask: np.ndarray) -> Claim:
    return counted(mask, exactly(number)) & counted(scenes.present & ~mask, none)


def _both(_: Scenes, first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> Claim:
    """Some objects of each of two colours."""
    return counted(first & mask, some) & counted(second & mask, some)


def _both_and_nothing_else(scenes: Scenes, first: np.ndarray, second: np.ndarray, *_: np.ndarray) -> Claim:
    return colours_exactly(first, second)(scenes.present)


def _nothing_but_either(scenes: Scenes, first: np.ndarray, second: np.ndarray, _: np.ndarray) -> Claim:
    return counted(scenes.present & ~(first | second), none) & counted(scenes.present, some)


def _so_many_of_each(
    _: Scenes, quantifier: Quantifier, first: np.ndarray, second: np.ndarray, mask: np.ndarray
) -> Claim:
    return counted(first & mask, quantifier) & counted(second & mask, quantifier)


def _so_many_of_both(
    _: Scenes, quantifier: Quantifier, first: np.ndarray, second: np.ndarray, mask: np.ndarray
) -> Claim:
    """So many together, some of each."""
    return counted((first | second) & mask, quantifier) & counted(first & mask, some) & counted(second & mask, some)


def _numbers_of_two(
    _: Scenes, many: Quantifier, first: np.ndarray, more: Quantifier, second: np.ndarray, mask: np.ndarray
) -> Claim:
    return counted(first & mask, many) & counted(second & mask, more)


def _numbers_of_three(_: Scenes, *values: Any) -> Claim:
    """Three times a quantifier and a colour, behind them what is counted."""
    claims = [
        counted(colour & values[-1], quantifier) for quantifier, colour in zip(values[:-1:2], values[1::2], strict=True)
    ]
    return claims[0] & claims[1] & claims[2]


def _only_so_many_of_both(
    scenes: Scenes, quantifier: Quantifier, first: np.ndarray, second: np.ndarray, _: np.ndarray
) -> Claim:
    return colours_exactly(first, second)(scenes.present) & counted(scenes.present, quantifier)


def _all_are(_: Scenes, quantifier: Quantifier, mask: np.ndarray, within: np.ndarray) -> Claim:
    return all_of(mask, quantifier, within)


def _of_which_so_many(_: Scenes, quantifier: Quantifier, mask: np.ndarray, number: int, within: np.ndarray) -> Claim:
    return counted(mask, some) & counted(mask, quantifier) & counted(mask & within, exactly(number))


def _top_is(scenes: Scenes, colour: np.ndarray) -> Claim:
    return counted(colour & scenes.top, some)


def _base_is(scenes: Scenes, colour: np.ndarray) -> Claim:
    return counted(colour & scenes.base, some)


def _base_and_top_are(scenes: Scenes, lowest: np.ndarray, highest: np.ndarray) -> Claim:
    return _base_is(scenes, lowest) & _top_is(scenes, highest)


def _stacked(scenes: Scenes, quantifier: Quantifier, mask: np.ndarray) -> Claim:
    return stacked(scenes, mask, quantifier)


def _one_colour(scenes: Scenes, *_: np.ndarray) -> Claim:
    return colours(scenes, one)(scenes.present)


def _different_colours(scenes: Scenes, *_: np.ndarray) -> Claim:
    return colours(scenes, at_least(2))(scenes.present)


CONTENTS: Table = {
    "X": [
        ("Q N", _so_many),
        ("the N / N", _some),
        ("N / only N / N only / only a|an N", nothing_but),
        ("only NUM N / exactly NUM N / NUM N only / NUM N", _so_many_and_nothing_else),
        ("none of ART N", lambda _, mask: counted(mask, none)),
        ("Q N at most", _so_many),
        ("NUM N at most", lambda _, number, mask: counted(mask, at_most(number))),
        ("[a|an] COLOUR and COLOUR NOUN / a COLOUR and a COLOUR NOUN", _both),
        ("COLOUR NOUN and NOUN", lambda scenes, colour, first, second: _both(scenes, first, second, colour)),
        ("only COLOUR and COLOUR NOUN / COLOUR and COLOUR NOUN [only]", _both_and_nothing_else),
        ("only COLOUR and COLOUR COLOURWORD [NOUN]", _both_and_nothing_else),
        ("only COLOUR and COLOUR NOUN", _nothing_but_either),
        ("Q COLOUR and COLOUR NOUN", _so_many_of_each),
        ("Q COLOUR and COLOUR NOUN", _so_many_of_both),
        ("Q COLOUR and Q COLOUR NOUN", _numbers_of_two),
        ("Q COLOUR Q COLOUR and Q COLOUR NOUN", _numbers_of_three),
        ("only Q COLOUR and COLOUR NOUN", _only_so_many_of_both),
        ("Q N KIND", counted_and_described),
        ("N KIND / only N KIND", described),
        ("Q SAME COLOURWORD N / the Q SAME COLOURWORD N", lambda scenes, q, mask: of_one_colour(scenes, mask, q)),
        ("SAME COLOURWORD N", lambda scenes, mask: of_one_colour(scenes, mask, at_least(2))),
        (
            "all [the] [three|3] [different] COLOURWORD",
            lambda scenes: colours(scenes, exactly(3))(scenes.present),
        ),
        (
            "[only|exactly] NUM [different] COLOURWORD",
            lambda scenes, number: colours(scenes, exactly(number))(scenes.present),
        ),
        (
            "at most NUM [different] COLOURWORD / NUM different COLOURWORD at most",
            lambda scenes, number: colours(scenes, at_most(number))(scenes.present),
        ),
        ("[a] COLOUR top / [a] COLOUR on top / COLOUR at [the] top", _top_is),
        ("COLOUR base|bottom / COLOUR block base / a|only COLOUR base|bottom", _base_is),
        ("a COLOUR base and [a] COLOUR top", _base_and_top_are),
        (
            "a COLOUR NOUN at|on [the] top and [at|on|at the|on the|the] base|bottom",
            lambda scenes, colour, _: _base_and_top_are(scenes, colour, colour),
        ),
        ("Q N of which PARTS / Q N at most of which PARTS / Q N where PARTS", counted_and_described),
        ("N of which PARTS / N where PARTS / only N of which PARTS", described),
        ("Q N including PART2 / Q N with PARTS / Q N with at least PARTS", counted_and_described),
        ("N including PART2", described),
        ("Q N THATWITH PARTS / Q N and PARTS", counted_and_described),
        ("Q N all of which BE P / Q N THATBE P", _all_are),
        ("Q N THATBE KIND", counted_and_described),
        ("Q N and THEYBE P", _all_are),
        ("Q N and THEYBE KIND", counted_and_described),
        (
            "multiple N and the NUM BE P",
            lambda scenes, mask, number, within: _of_which_so_many(scenes, at_least(2), mask, number, within),
        ),
        ("Q N and the NUM BE P", _of_which_so_many),
        ("Q N stacked together / Q N attached [with|to] each other", _stacked),
        (
            "Q N stacked together KIND",
            lambda scenes, quantifier, mask, kind: _stacked(scenes, quantifier, mask) & kind(mask),
        ),
        (
            "Q COLOUR NOUN in EVERY BW",
            lambda _, quantifier, colour, mask, __: counted(colour & mask, quantifier),
        ),
        ("Q N WHICHPART", counted_and_described),
        ("X1 among other NOUN", lambda _, claim, __: claim),
        ("SAME COLOURWORD / SAME COLOURWORD NOUN / NOUN of SAME COLOURWORD", _one_colour),
        ("different COLOURWORD / different COLOURWORD NOUN", _different_colours),
        ("not all [three|3] [different] COLOURWORD", lambda scenes: colours(scenes, at_most(2))(scenes.present)),
        ("odd number of NOUN", lambda _, mask: counted(mask, odd)),
        ("even number of NOUN", lambda _, mask: counted(mask, even)),
        ("Q N each", _so_many),
    ],
    "X1": [("Q N", _so_many)],
    "THATBE": [("that|which is|are / that|which has|have / which|that", None)],
    "THATWITH": [("which|that has|have", None)],
    "THEYBE": [
        ("it is / they are / they are both / they are all / it|they has|have / the it has", None),
        ("the color|colour is / the color|colour are / color of the items is", None),
    ],
    "XS": [
        ("X", itself),
        (
            "X and XS / X with XS / X XS / X and has XS / X but XS / X and there is|are XS",
            lambda _, first, second: first & second,
        ),
        ("X in it / X in them", itself),
        (
            "X and a N on top of it / X and a N right on top of it / X and a N above it / X and another N on top of it",
            lambda scenes, claim, mask: claim & counted(on_base(scenes) & mask, some),
        ),
        (
            "X and NUM N on top of it",
            lambda scenes, claim, number, mask: claim & counted(over_base(scenes) & mask, exactly(number)),
        ),
        (
            "X and a N right|directly beneath|below it / X and a N beneath it",
            lambda scenes, claim, mask: claim & counted(beneath_top(scenes) & mask, some),
        ),
        (
            "X and a N beneath|below the N on top / X and a N beneath|below the top N",
            lambda scenes, claim, mask, _: claim & counted(beneath_top(scenes) & mask, some),
        ),
        (
            "X and only N on top of it / X and only N above it",
            lambda scenes, claim, mask: (
                claim & counted(over_base(scenes), some) & counted(over_base(scenes) & ~mask, none)
            ),
        ),
        (
            "X and Q N on top of it / X and Q N above it / X and Q N beneath|below it",
            lambda scenes, claim, quantifier, mask: claim & counted(over_base(scenes) & mask, quantifier),
        ),
    ],
}
