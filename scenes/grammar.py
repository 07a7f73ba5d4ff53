"""The sentences of NLVR as a grammar whose phrases mean objects and boxes.

It was written after reading sentences of the training split (those of the 72 training directories that do not validate).
Symbols: S sentence, Q quantifier, N objects (S, 3, 8), B boxes (S, 3), X what is said of the contents of a box,
P property of objects, W wall.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from lxmert.scenes.arrays import COLOURS, SHAPES, SIZES, Scenes
from lxmert.scenes.parsing import Grammar

Test = Callable[[np.ndarray], np.ndarray]
Conditions = list[Callable[[Any], np.ndarray]]  # each is given the axes to count along

GRAMMAR = Grammar()
R = GRAMMAR.add
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
IN_BOX, IN_SCENE = (-1,), (-2, -1)


def _constant(value: Any) -> Callable[..., Any]:
    return lambda scenes, *_: value


def _counted(mask: np.ndarray, test: Test) -> Conditions:
    return [lambda axes: test(mask.sum(axes))]


def _all(conditions: Conditions, axes: tuple[int, ...]) -> np.ndarray:
    return reduce(np.logical_and, [condition(axes) for condition in conditions], np.True_)


def _some(count: np.ndarray) -> np.ndarray:
    return count >= 1


def _none(count: np.ndarray) -> np.ndarray:
    return count == 0


# ---- numbers and quantifiers
for _word, _number in NUMBERS.items():
    R("NUM", f"{_word} / {_number}", _constant(_number))
    if _number > 1:
        R("PLURALNUM", f"{_word} / {_number}", _constant(_number))
R("Q", "exactly NUM / only NUM / just NUM", lambda c, n: lambda k: k == n)
R("Q", "NUM", lambda c, n: lambda k: k == n)
R("Q", "NUM", lambda c, n: lambda k: k >= n)
R("Q", "a|an", _constant(_some))
R("Q", "a|an", _constant(lambda k: k == 1))
R("Q", "at least NUM / NUM or more / at least a", lambda c, n=1: lambda k: k >= n)
R("Q", "at most NUM / not more than NUM / not more than a", lambda c, n=1: lambda k: k <= n)
R("Q", "more than NUM", lambda c, n: lambda k: k > n)
R("Q", "less than NUM", lambda c, n: lambda k: k < n)
R("Q", "no", _constant(_none))
R("Q", "a single / single / only a|an / exactly a|an", _constant(lambda k: k == 1))
R("Q", "multiple", _constant(lambda k: k >= 2))
R("Q", "many / a lot of", _constant(lambda k: k >= 4))
R("Q", "many / multiple / a lot of", _constant(lambda k: k >= 3))
R("Q", "many / a lot of", _constant(lambda k: k >= 5))
R("Q", "some / some of the", _constant(lambda k: k >= 1))


# ---- walls: (S, 3, 8) which objects touch
def _any_wall(c: Scenes) -> np.ndarray:
    return reduce(np.logical_or, c.walls.values())


def _corner(c: Scenes, *names: str) -> np.ndarray:
    return (c.walls["left"] | c.walls["right"]) & (c.walls["top"] | c.walls["bottom"])


R("WALLNOUN", "edge / edges / wall / walls / side / sides / line / border", _constant(None))
R("OFBOX", "of a|the BOXWORD / of the BOXWORD", _constant(None))
R("ART", "the / a / an / any / a any / the any", _constant(None))
R("W", "[ART] WALLNOUN / [ART] WALLNOUN OFBOX", lambda c, *_: _any_wall(c))
R(
    "W",
    "ART base / base / ART bottom [base|edge|wall|side] / ART bottom OFBOX / ART base OFBOX / ART floor",
    lambda c, *_: c.walls["bottom"],
)
R("W", "ART base or edge", lambda c, *_: _any_wall(c))
R("W", "[ART] right WALLNOUN / [ART] right WALLNOUN OFBOX / ART right side WALLNOUN", lambda c, *_: c.walls["right"])
R("W", "[ART] left WALLNOUN / [ART] left WALLNOUN OFBOX / ART left side WALLNOUN", lambda c, *_: c.walls["left"])
R(
    "W",
    "ART roof|top|ceiling / ART roof|top|ceiling OFBOX / ART top WALLNOUN / ART top WALLNOUN OFBOX",
    lambda c, *_: c.walls["top"],
)
R("W", "[ART] CORNER / [ART] CORNER OFBOX / ART BOXWORD CORNER", lambda c, *_: _corner(c))
R("CORNER", "corner / corners", _constant(None))
R("W", "[ART] right corner / [ART] right corner OFBOX", lambda c, *_: _corner(c) & c.walls["right"])
R("W", "[ART] left corner / [ART] left corner OFBOX", lambda c, *_: _corner(c) & c.walls["left"])
R("W", "[ART] lower|bottom corner / [ART] lower|bottom corner OFBOX", lambda c, *_: _corner(c) & c.walls["bottom"])
R("W", "[ART] upper|top corner / [ART] upper|top corner OFBOX", lambda c, *_: _corner(c) & c.walls["top"])
for _down in ("bottom", "top"):
    for _across in ("left", "right"):
        R(
            "W",
            f"[ART] {_down} {_across} corner / [ART] {_down} {_across} corner OFBOX",
            lambda c, *_, d=_down, a=_across: c.walls[d] & c.walls[a],
        )
R("TOUCH", "touching / closely touching / touch / touches / attached to / attached with / in / at", _constant(None))

# ---- properties of objects: (S, 3, 8)
for _index, _name in enumerate(COLOURS):
    R("COLOUR", f"^{_name}", lambda c, i=_index: c.colour == i)
R("INCOLOUR", "in|of colour|color / of colour|color", _constant(None))
R("COLOURWORD", "color / colour / colors / colours / colored / coloured", _constant(None))
R("P", "^COLOUR", lambda c, m, *_: m)
R(
    "P",
    "^COLOUR in COLOURWORD / of ^COLOUR COLOURWORD / of only ^COLOUR COLOURWORD / ^COLOUR COLOURWORD",
    lambda c, m, *_: m,
)
R("P", "^COLOUR only", lambda c, m, *_: m)
R(
    "P",
    "COLOUR or|and COLOUR / either COLOUR or COLOUR / of COLOUR or|and COLOUR COLOURWORD / of either COLOUR or COLOUR COLOURWORD",
    lambda c, a, b, *_: a | b,
)
R("P", "not P", lambda c, p: c.present & ~p)
R("P", "not the COLOURWORD COLOUR", lambda c, _, p: c.present & ~p)
R("P", "[a|an|all|both|all a] ^N", lambda c, m: m)
R("P", "^TOUCH W", lambda c, _, w: w)
R("P", "^touching W", lambda c, w: w)
R("P", "^not touching W", lambda c, w: c.present & ~w)
R("P", "nearly|almost|nealy ^touching W / ^near W", lambda c, w: c.near_walls)
R("P", "^touching W with its side|top|base", lambda c, w: w)
R("P", "SIZE / of SIZE size", lambda c, s: s)
R("SIZE", "^small", lambda c: c.size == 10)
R("SIZE", "^medium", lambda c: c.size == 20)
R("SIZE", "^big / ^large", lambda c: c.size == 30)
R("P", "[at|on|on the|at the|the] ^top [most]", lambda c: c.top)
R("P", "[at|on|on the|at the|the] ^base|bottom", lambda c: c.base)
R("P", "in ART middle / in middle", lambda c, *_: c.present & ~c.top & ~c.base)

# ---- objects: (S, 3, 8)
for _index, _name in enumerate(SHAPES):
    R("NOUN", f"^{_name} / ^{_name}s", lambda c, i=_index: c.shape == i)
R("NOUN", "^rectangle / ^rectangles", lambda c: c.shape == 0)
R("NOUN", "^item / ^items / ^object / ^objects / ^one / ^ones / ^shape / ^shapes", lambda c: c.present)
R("NOUN", "^block / ^blocks", lambda c: c.present & (c.shape == 0))
for _index, _name in enumerate(SHAPES):
    R("NOUN", f"{_name} ^shape|shapes|item|items|object|objects", lambda c, i=_index: c.shape == i)
R("A", "COLOUR", lambda c, m: m)
R("A", "COLOUR COLOURWORD", lambda c, m, *_: m)
R("A", "SIZE", lambda c, m: m)
R("A", "top", lambda c: c.top)
R("A", "top most", lambda c: c.top)
R("A", "base|bottom", lambda c: c.base)
R("A", "middle", lambda c: c.present & ~c.top & ~c.base)
R("A", "second", lambda c: c.level == 1)
R("A", "third", lambda c: c.level == 2)
R("A", "other|another", lambda c: c.present)
R("A", "COLOUR or COLOUR / COLOUR and COLOUR", lambda c, a, b: a | b)
R("AN", "^NOUN", lambda c, m: m)
R("AN", "A ^AN", lambda c, a, m: a & m)
R("AN", "^COLOUR", lambda c, m: m)
R("N", "^AN", lambda c, m: m)
R("N", "^AN R", lambda c, m, r: m & r)
R("N", "^AN EACHOTHER", lambda c, m, pairs: m & (pairs & m[..., None, :]).any(-1))
R("N", "^AN not EACHOTHER", lambda c, m, pairs: m & ~(pairs & m[..., None, :]).any(-1))
R(
    "EACHOTHER",
    "touching|attached|attach [to|with] each other / touching each other / that are attached|attach|touching [with|to] each other",
    lambda c: c.touching,
)
R("EACHOTHER", "nearly touching each other", lambda c: c.near)
R("THAT", "that|which is|are|has / that|which is|are / which|that", _constant(None))
R("BE", "is / are", _constant(None))
# relations and properties behind a noun
R("R", "THAT P / P1", lambda c, *v: v[-1])
R("R", "R1", lambda c, m: m)
R("P1", "^TOUCH W", lambda c, _, w: w)
R("P1", "^not touching W / ^not touching only W", lambda c, w: c.present & ~w)
R("P1", "nearly|almost|nealy ^touching W / ^near W", lambda c, w: c.near_walls)
R("P1", "^touching W with its side|top|base", lambda c, w: w)
R("P1", "of ^COLOUR COLOURWORD / of ^COLOUR COLOURWORD only", lambda c, m, *_: m)
R("P1", "of SIZE size / of SIZE size P1", lambda c, s, p=None: s if p is None else s & p)
R("P1", "at|on [the] ^top / as [the|a] ^top / as [the|a] top most ^block|blocks|item", lambda c: c.top)
R("P1", "at|on|as [the|a] ^base|bottom", lambda c: c.base)
R(
    "P1",
    "as [the|a] middle ^block|item / in the middle / in the middle of it / in middle",
    lambda c: c.present & ~c.top & ~c.base,
)
R("P1", "as|on|at the ^second level", lambda c: c.level == 1)
R("BX", "^B / a|the|any|this|one|each ^B / one of the ^B", lambda c, b: b)
R("P1", "as [the|a] ^top of BX / on [the] ^top of BX / at [the] ^top of BX", lambda c, b: c.top & b[..., None])
R("P1", "as [the|a] ^base|bottom of BX / at|on [the] ^base|bottom of BX", lambda c, b: c.base & b[..., None])
R("P1", "in BX / of BX", lambda c, b: c.present & b[..., None])
R(
    "R1",
    "RELATION N / RELATION a|an|the N / RELATION another N / THAT RELATION a|an|the N",
    lambda c, *v: (v[-2] & v[-1][..., None, :]).any(-1),
)
R("R1", "RELATION PLURALNUM N", lambda c, pairs, n, m: (pairs & m[..., None, :]).sum(-1) >= n)
R(
    "RELATION",
    "^on / ^on top of / ^over / ^above / above of / ^right on top of / directly on top of / right above",
    lambda c: c.on,
)
R("RELATION", "^on / ^on top of / ^over / ^above / above of", lambda c: c.above)
R("RELATION", "^below / ^under / ^underneath / ^beneath / right below|beneath", lambda c: c.on.swapaxes(-1, -2))
R("RELATION", "^below / ^under / ^underneath / ^beneath", lambda c: c.above.swapaxes(-1, -2))
R(
    "RELATION",
    "^touching / closely touching / attached to / attached with / attach with / that is attach to / that is attached to",
    lambda c: c.touching,
)
R("RELATION", "^near / nearly touching", lambda c: c.near)
R(
    "R1",
    "between|in|between a|an N / between N / in between N / between two|the two|2 N / in between two|2 N",
    lambda c, m: (c.on & m[..., None, :]).any(-1) & (c.on.swapaxes(-1, -2) & m[..., None, :]).any(-1),
)


# ---- colours of a set of objects; each gives what is counted as conditions on a set
def _colours(c: Scenes, test: Test) -> Callable[[np.ndarray], Conditions]:
    def condition(mask: np.ndarray) -> Conditions:
        each = [mask & (c.colour == index) for index in range(len(COLOURS))]
        return [lambda axes: test(sum(part.any(axes).astype(int) for part in each))]

    return condition


def _shapes(c: Scenes, test: Test) -> Callable[[np.ndarray], Conditions]:
    def condition(mask: np.ndarray) -> Conditions:
        each = [mask & (c.shape == index) for index in range(len(SHAPES))]
        return [lambda axes: test(sum(part.any(axes).astype(int) for part in each))]

    return condition


def _sizes(c: Scenes, test: Test) -> Callable[[np.ndarray], Conditions]:
    def condition(mask: np.ndarray) -> Conditions:
        each = [mask & (c.size == value) for value in SIZES]
        return [lambda axes: test(sum(part.any(axes).astype(int) for part in each))]

    return condition


R(
    "SAME",
    "[the] same / the the same / a single / one / 1 / only one|1 / exactly same / a same",
    _constant(lambda k: k == 1),
)
R("OF", "of / with / in / of only / with only / has / have / has only / in only", _constant(None))
R(
    "KIND",
    "OF SAME COLOURWORD / SAME COLOURWORD / SAME in COLOURWORD / of SAME COLOURWORD each",
    lambda c, *v: _colours(c, lambda k: k == 1),
)
R("KIND", "OF SAME shape|type / SAME shape / SAME in shape", lambda c, *v: _shapes(c, lambda k: k == 1))
R("KIND", "OF SAME size / SAME size / SAME in size", lambda c, *v: _sizes(c, lambda k: k == 1))
R(
    "KIND",
    "OF SAME shape and COLOURWORD / SAME",
    lambda c, *v: lambda m: _shapes(c, lambda k: k == 1)(m) + _colours(c, lambda k: k == 1)(m),
)
R(
    "KIND",
    "OF different COLOURWORD / of different in COLOURWORD / not SAME in COLOURWORD / has different COLOURWORD",
    lambda c, *v: _colours(c, lambda k: k >= 2),
)
R("KIND", "OF different shape|shapes", lambda c, *v: _shapes(c, lambda k: k >= 2))
R("KIND", "OF different size|sizes", lambda c, *v: _sizes(c, lambda k: k >= 2))
R("KIND", "OF [only|exactly] PLURALNUM [different] COLOURWORD", lambda c, _, n, *__: _colours(c, lambda k: k == n))
R("KIND", "OF at least NUM different COLOURWORD", lambda c, _, n, *__: _colours(c, lambda k: k >= n))
R("KIND", "OF all [the] [three|3] [different] COLOURWORD", lambda c, *v: _colours(c, lambda k: k == 3))
R("KIND", "OF [only|exactly] PLURALNUM different shapes", lambda c, _, n: _shapes(c, lambda k: k == n))
R(
    "KIND",
    "OF COLOUR and COLOUR COLOURWORD / OF COLOUR and COLOUR COLOURWORD only / COLOUR and COLOUR / COLOUR and COLOUR in COLOURWORD / OF a COLOUR and a COLOUR COLOURWORD each",
    lambda c, *v: _both(c, *[x for x in v if isinstance(x, np.ndarray)]),
)


def _both(c: Scenes, a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], Conditions]:
    def conditions(mask: np.ndarray) -> Conditions:
        return _counted(mask & a, _some) + _counted(mask & b, _some) + _counted(mask & ~(a | b), _none)

    return conditions


# ---- X: what is said of the contents of a box or the scene; conditions
R("X", "Q N", lambda c, q, m: _counted(m, q))
R("X", "the N / N", lambda c, m: _counted(m, _some))
R("X", "N", lambda c, m: _counted(m, _some) + _counted(c.present & ~m, _none))
R("X", "only N / N only / only a|an N", lambda c, m: _counted(m, _some) + _counted(c.present & ~m, _none))
R(
    "X",
    "only NUM N / exactly NUM N / NUM N only / NUM N",
    lambda c, n, m: _counted(m, lambda k: k == n) + _counted(c.present & ~m, _none),
)
R("X", "none of ART N", lambda c, _, m: _counted(m, _none))
R("X", "Q N at most", lambda c, q, m: _counted(m, q))
R("X", "NUM N at most", lambda c, n, m: _counted(m, lambda k: k <= n))
R(
    "X",
    "COLOUR and COLOUR NOUN / a|an COLOUR and COLOUR NOUN / a COLOUR and a COLOUR NOUN",
    lambda c, a, b, m: _counted(a & m, _some) + _counted(b & m, _some),
)
R("X", "COLOUR NOUN and NOUN", lambda c, a, m, n: _counted(a & m, _some) + _counted(a & n, _some))
R(
    "X",
    "only COLOUR and COLOUR NOUN / COLOUR and COLOUR NOUN only / only COLOUR and COLOUR COLOURWORD / only COLOUR and COLOUR COLOURWORD NOUN / COLOUR and COLOUR NOUN",
    lambda c, *v: _both(c, v[0], v[1])(c.present),
)
R(
    "X",
    "only COLOUR and COLOUR NOUN",
    lambda c, a, b, m: _counted(c.present & ~(a | b), _none) + _counted(c.present, _some),
)
R("X", "Q COLOUR and COLOUR NOUN", lambda c, q, a, b, m: _counted(a & m, q) + _counted(b & m, q))
R(
    "X",
    "Q COLOUR and COLOUR NOUN",
    lambda c, q, a, b, m: _counted((a | b) & m, q) + _counted(a & m, _some) + _counted(b & m, _some),
)
R("X", "Q COLOUR and Q COLOUR NOUN", lambda c, q, a, p, b, m: _counted(a & m, q) + _counted(b & m, p))
R(
    "X",
    "Q COLOUR Q COLOUR and Q COLOUR NOUN",
    lambda c, q, a, p, b, r, d, m: _counted(a & m, q) + _counted(b & m, p) + _counted(d & m, r),
)
R("X", "only Q COLOUR and COLOUR NOUN", lambda c, q, a, b, m: _both(c, a, b)(c.present) + _counted(c.present, q))
R("X", "Q N KIND / N KIND / only N KIND", lambda c, *v: _kinds(*v))
R(
    "X",
    "Q SAME COLOURWORD N / SAME COLOURWORD N / the Q SAME COLOURWORD N",
    lambda c, *v: _same(c, [x for x in v if x is not None and not (callable(x) and x is not v[0])], v),
)
R("X", "all [the] [three|3] [different] COLOURWORD", lambda c, *v: _colours(c, lambda k: k == 3)(c.present))
R("X", "[only|exactly] NUM [different] COLOURWORD", lambda c, n, *_: _colours(c, lambda k: k == n)(c.present))
R(
    "X",
    "at most NUM [different] COLOURWORD / NUM different COLOURWORD at most",
    lambda c, n, *_: _colours(c, lambda k: k <= n)(c.present),
)
R("X", "COLOUR top", lambda c, a: _counted(a & c.top, _some))
R("X", "COLOUR base|bottom / COLOUR block base", lambda c, a: _counted(a & c.base, _some))
R("X", "a COLOUR top / a COLOUR top [and] ", lambda c, a: _counted(a & c.top, _some))
R("X", "a|only COLOUR base|bottom", lambda c, a: _counted(a & c.base, _some))
R("X", "a COLOUR base and [a] COLOUR top", lambda c, a, b: _counted(a & c.base, _some) + _counted(b & c.top, _some))
R(
    "X",
    "a COLOUR NOUN at|on [the] top and at|on [the] base|bottom / a COLOUR NOUN at|on [the] top and base|bottom",
    lambda c, a, m: _counted(a & c.top, _some) + _counted(a & c.base, _some),
)
R("X", "a COLOUR on top / COLOUR on top / COLOUR at [the] top", lambda c, a: _counted(a & c.top, _some))
R(
    "X",
    "Q N of which PARTS / Q N at most of which PARTS / Q N where PARTS / N of which PARTS / N where PARTS / only N of which PARTS",
    lambda c, *v: _parts(c, *v),
)
R(
    "X",
    "Q N including PART2 / Q N with PARTS / Q N with at least PARTS / N including PART2",
    lambda c, *v: _parts(c, *v),
)
R("X", "Q N THATWITH PARTS / Q N and PARTS", lambda c, *v: _parts(c, *[x for x in v if x is not None]))
R("X", "Q N all of which BE P", lambda c, q, m, _, p: _counted(m, q) + _counted(m & ~p, _none))
R("X", "Q N THATBE P", lambda c, q, m, _, p: _counted(m, q) + _counted(m & ~p, _none))
R("X", "Q N THATBE KIND", lambda c, q, m, _, kind: _counted(m, q) + kind(m))
R("X", "Q N and THEYBE P / Q N and THEYBE not P", lambda c, q, m, _, p: _counted(m, q) + _counted(m & ~p, _none))
R("X", "Q N and THEYBE KIND", lambda c, q, m, _, kind: _counted(m, q) + kind(m))
R("X", "no other COLOURWORD", lambda c, *_: [])
R(
    "X",
    "multiple N and the NUM BE P / Q N and the NUM BE P",
    lambda c, *v: (
        _counted(v[-4] if len(v) == 4 else v[1], _some)
        + (_counted(v[0], lambda k: k >= 2) if len(v) == 4 else _counted(v[1], v[0]))
        + _counted((v[0] if len(v) == 4 else v[1]) & v[-1], lambda k, n=v[-3]: k == n)
    ),
)
R("THATBE", "that|which is|are / that|which has|have / which|that", _constant(None))
R(
    "THEYBE",
    "it is / they are / they are both / they are all / it|they has|have / the color|colour is / color of the items is / the color|colour are / the it has",
    _constant(None),
)


def _longest(c: Scenes, mask: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The number of objects of the longest run of neighbours in a tower that are all in the mask."""
    longest = np.zeros(mask.shape[:2], int)
    for first in range(4):
        for last in range(first, 4):
            inside = c.present & (c.level >= first) & (c.level <= last)
            whole = (c.height > last) & ~(inside & ~mask).any(-1)
            longest = np.maximum(longest, whole * (last - first + 1))
    return longest if len(axes) == 1 else longest.max(-1)


R("THATP", "[that is] at the top / that is at the top", _constant(None))
R("THATWITH", "which|that has|have", _constant(None))


def _kinds(*values: Any) -> Conditions:
    kind, mask = values[-1], values[-2]
    return _counted(mask, values[0] if len(values) == 3 else _some) + kind(mask)


def _same(c: Scenes, _: Any, values: tuple[Any, ...]) -> Conditions:
    mask = values[-1]
    test = values[0] if len(values) == 4 else _some
    return [
        lambda axes: (
            reduce(np.logical_or, [test((mask & (c.colour == index)).sum(axes)) for index in range(3)])
            if len(values) == 4
            else reduce(np.logical_or, [(mask & (c.colour == index)).sum(axes) >= 2 for index in range(3)])
        )
    ]


def _parts(c: Scenes, *values: Any) -> Conditions:
    parts, mask = values[-1], values[-2]
    return _counted(mask, values[0] if len(values) == 3 else _some) + parts(mask)


# ---- PARTS: what is said of a set of objects already named
R("PART", "Q BE P / the Q BE P / only Q BE P", lambda c, q, _, p: lambda m: _counted(m & p, q))
R("PART", "Q of the NOUN BE P / Q of them BE P / Q of which BE P", lambda c, q, *v: lambda m: _counted(m & v[-1], q))
R("PART", "there BE Q N / there BE only Q N", lambda c, _, q, n: lambda m: _counted(m & n, q))
R(
    "PART",
    "the N BE P / the N BE a|an P",
    lambda c, n, _, p: lambda m: _counted(m & n & p, _some) + _counted(m & n & ~p, _none),
)
R("PART", "the N BE P", lambda c, n, _, p: lambda m: _counted(n & p, _some) + _counted(n & ~p, _none))
R("PART", "Q N BE P", lambda c, q, n, _, p: lambda m: _counted(n & p, q))
R("PART", "both [the] [N] are P", lambda c, *v: lambda m: _counted(m & ~v[-1], _none))
R("PART", "Q is COLOUR NOUN / Q are COLOUR NOUN", lambda c, q, a, n: lambda m: _counted(m & a & n, q))
R(
    "PART",
    "Q BE KIND / the Q BE KIND / the Q has KIND / Q has|have KIND / Q [are] KIND",
    lambda c, q, *v: lambda m: _any_kind(c, m, q),
)
R("PARTS", "PART", lambda c, p: p)
R("PARTS", "PART and PARTS", lambda c, p, ps: lambda m: p(m) + ps(m))
R("PART2", "Q N / N", lambda c, *v: lambda m: _counted(m & v[-1], v[0] if len(v) == 2 else _some))
R("PART", "Q being a|an N", lambda c, q, n: lambda m: _counted(m & n, q))


def _any_kind(c: Scenes, mask: np.ndarray, q: Test) -> Conditions:
    return [lambda axes: reduce(np.logical_or, [q((mask & (c.colour == index)).sum(axes)) for index in range(3)])]


# ---- lists of X
R("XS", "X", lambda c, x: x)
R("XS", "X and XS / X with XS / X XS / X and has XS / X but XS / X and THERE XS", lambda c, *v: v[0] + v[-1])
R("XS", "X in it / X in them", lambda c, x: x)
R(
    "XS",
    "X and a N on top of it / X and a N right on top of it / X and a N above it / X and another N on top of it",
    lambda c, x, n: x + _counted((c.on & c.base[..., None, :]).any(-1) & n, _some),
)
R("XS", "X and NUM N on top of it", lambda c, x, k, n: x + _counted(c.present & ~c.base & n, lambda t: t == k))
R(
    "XS",
    "X and a N right|directly beneath|below it / X and a N beneath it",
    lambda c, x, n: x + _counted((c.on.swapaxes(-1, -2) & c.top[..., None, :]).any(-1) & n, _some),
)
R(
    "XS",
    "X and a N beneath|below the N on top / X and a N beneath|below the top N",
    lambda c, x, n, _: x + _counted((c.on.swapaxes(-1, -2) & c.top[..., None, :]).any(-1) & n, _some),
)
R("THERE", "there is|are", _constant(None))

# ---- boxes: (S, 3)
R(
    "BOXWORD",
    "box / boxes / tower / towers / grey box|boxes / grey square|squares / square box|boxes / square|squares / gray box|square",
    _constant(None),
)
R(
    "BW",
    "^box / ^boxes / ^tower / ^towers / grey ^box|boxes|square|squares / square ^box|boxes / tower ^block / tower ^blocks",
    lambda c: c.height >= 0,
)
R("BA", "^BW", lambda c, b: b)
R("BA", "COLOUR ^BW", lambda c, a, b: (c.height > 0) & ~(c.present & ~a).any(-1))
R("BA", "NUM NOUN ^BW / NUM NOUN high ^BW", lambda c, n, m, b: c.height == n)
R("BA", "single NOUN ^BW", lambda c, m, b: c.height == 1)
R("BA", "NUM ^BW block|blocks / NUM ^BW", lambda c, n, b: c.height == n)
R("B", "^BA", lambda c, b: b)
R("B", "^BA BP", lambda c, b, p: b & p)
R("B", "^BA BP BP / ^BA BP and BP", lambda c, b, p, r: b & p & r)
R(
    "WITH",
    "with / which|that|than has|have / which|that|than contain|contains / having / containing / contains / with has / which only has / that only has / has / of / which is|are / that is made of / which is made of",
    _constant(None),
)
R("BP", "WITH XS / WITH XS each / WITH all XS", lambda c, _, x: _all(x, IN_BOX))
R("BP", "WITH XS not XS", lambda c, _, x, y: _all(x, IN_BOX) & ~_all(y, IN_BOX))
R("BP", "without X / WITHNOT X", lambda c, *v: ~_all(v[-1], IN_BOX))
R("BP", "that|which has only N", lambda c, n: _all(_counted(n, _some) + _counted(c.present & ~n, _none), IN_BOX))
R("WITHNOT", "not having / not with / that|which has no / that|which does not have", _constant(None))
R("BP", "where|that|which|and CL / that|which|and has CL / that|which is CL", lambda c, x: x)
R(
    "BP",
    "CONJ CL / with XS CONJ CL / which has XS CONJ CL / having XS CONJ CL / that has XS CONJ CL",
    lambda c, *v: v[-1] & (_all(v[0], IN_BOX) if len(v) == 3 else True),
)
R("CONJ", "and / but / where / of which / with", _constant(None))
# what is said of each box: (S, 3)
R("PLACE", "top / top block|item / topmost block", lambda c: c.top)
R("PLACE", "base / bottom / base block / bottom block", lambda c: c.base)
R("PLACE", "middle / middle block / middle item", lambda c: c.present & ~c.top & ~c.base)
R("PLACE", "second block|item / second block|item from the base|bottom / second", lambda c: c.level == 1)
R("PLACE", "third block|item / third block|item from the base|bottom / third", lambda c: c.level == 2)
R("PLACE", "block below|beneath the top block", lambda c: (c.on.swapaxes(-1, -2) & c.top[..., None, :]).any(-1))
R("CL", "[the] PLACE is [only] P / [the] PLACE is [only] P only", lambda c, m, p: (m & p).any(-1))
R(
    "CL",
    "[the] PLACE and [the] PLACE BE [both] P / [the] PLACE and [the] PLACE block|blocks BE [both] P",
    lambda c, a, b, _, p: (a & p).any(-1) & (b & p).any(-1),
)
R("CL", "[the] PLACE is P and [the] PLACE is P", lambda c, a, p, b, r: (a & p).any(-1) & (b & r).any(-1))
R("CL", "[the] PLACE and [the] PLACE [block|blocks] BE ALIKE", lambda c, a, b, *_: _alike(c, a, b))
R(
    "CL",
    "[the] PLACE and [the] PLACE [block|blocks] BE not ALIKE",
    lambda c, a, b, *_: a.any(-1) & b.any(-1) & ~_alike(c, a, b),
)
R("CL", "[the] colour|color of the PLACE and PLACE is|are P", lambda c, a, b, p: (a & p).any(-1) & (b & p).any(-1))
R("ALIKE", "SAME / SAME COLOURWORD / SAME in COLOURWORD / of SAME COLOURWORD / SAME COLOURWORD NOUN", _constant(None))
R(
    "CL",
    "[the] color|colour is P / [the] color|colour is only P",
    lambda c, p: (c.height > 0) & ~(c.present & ~p).any(-1),
)
R("CL", "[the] color|colour is|are COLOUR and COLOUR", lambda c, a, b: _all(_both(c, a, b)(c.present), IN_BOX))
R("CL", "X BE P", lambda c, x, _, p: _all(x, IN_BOX) & p.any(-1))
R("CL", "Q N BE P / the Q N BE P", lambda c, q, m, _, p: q((m & p).sum(-1)))
R("CL", "the N BE P", lambda c, m, _, p: (m & p).any(-1) & ~(m & ~p).any(-1))
R("CL", "none of the N BE P", lambda c, m, _, p: ~(m & p).any(-1))
R("CL", "Q BE P", lambda c, q, _, p: q((c.present & p).sum(-1)))
R("CL", "the only N BE P", lambda c, m, _, p: (m.sum(-1) == 1) & (m & p).any(-1))
R("CL", "the only COLOUR is P", lambda c, m, p: (m.sum(-1) == 1) & (m & p).any(-1))
R("CL", "it|this object is P", lambda c, p: (c.height == 1) & (c.present & p).any(-1))
R(
    "CL",
    "both NOUN are KIND / [the] NOUN are KIND / the NUM are SAME",
    lambda c, *v: (
        _all(v[-1](c.present), IN_BOX)
        if callable(v[-1]) and len(v) == 2 and isinstance(v[0], np.ndarray)
        else (c.height >= 0)
    ),
)
R("CL", "there BE XS", lambda c, _, x: _all(x, IN_BOX))
R("CL", "the NOUN are not more than NUM / the NOUN are at most NUM", lambda c, m, n: m.sum(-1) <= n)
R(
    "CL",
    "the first NUM NOUN [from the base] BE P",
    lambda c, n, m, _, p: (c.height >= n) & ~(c.present & (c.level < n) & ~p).any(-1),
)


def _alike(c: Scenes, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return reduce(np.logical_or, [(a & (c.colour == i)).any(-1) & (b & (c.colour == i)).any(-1) for i in range(3)])


# ---- sentences: (S,)
R("THEREBE", "there is|are / there isa|s|i / the is / there / theer are / there be", _constant(None))
R("S", "THEREBE X", lambda c, _, x: _all(x, IN_SCENE))
R("S", "THEREBE X and X / THEREBE X with X", lambda c, _, x, y: _all(x + y, IN_SCENE))
R("S", "THEREBE X in|on Q B / THEREBE X touching in Q B", lambda c, _, x, q, b: q((_all(x, IN_BOX) & b).sum(-1)))
R(
    "S",
    "THEREBE Q B / THEREBE as B / THEREBE the|only B / THEREBE B / THEREBE only Q B",
    lambda c, *v: (v[1] if len(v) == 3 else _some)(v[-1].sum(-1)),
)
R("S", "THEREBE XS in EVERY BW / THEREBE XS in EVERY of the BW", lambda c, _, x, __, b: _all(x, IN_BOX).all(-1))
R(
    "EVERY",
    "each / every / all / all the / all of the / all three / all 3 / all the three / each of the / all the 3",
    _constant(None),
)
R(
    "S",
    "EVERY B HAS XS / EVERY B HAS XS each / EVERY B with XS",
    lambda c, _, b, __, x=None: (_all(x if x is not None else __, IN_BOX) | ~b).all(-1),
)
R("S", "EVERY B do not HAS XS", lambda c, _, b, __, x: ~(_all(x, IN_BOX) | ~b).all(-1))
R("HAS", "has / have / contains / contain / has only / contains only / have only / in", _constant(None))
R(
    "S",
    "Q B HAS XS / Q of ART B HAS XS / Q of B HAS XS / in Q of ART B there is XS / Q out of ART B HAS XS",
    lambda c, q, *v: q((_all(v[-1], IN_BOX) & [x for x in v if isinstance(x, np.ndarray)][0]).sum(-1)),
)
R("S", "Q B / only Q B", lambda c, q, b: q(b.sum(-1)))
R("S", "THE B HAS XS", lambda c, _, b, __, x: (_all(x, IN_BOX) & b).any(-1))
R("S", "THE B HAS XS", lambda c, _, b, __, x: (_all(x, IN_BOX) | ~b).all(-1) & b.any(-1))
R("S", "B HAS XS", lambda c, b, __, x: (_all(x, IN_BOX) & b).any(-1))
R("THE", "the / one of the / in the / one of / a", _constant(None))
R(
    "LEAST",
    "with|containing|having [the] least number of object|objects|items / which has [the] least number of object|objects|items",
    lambda c: c.height == c.height.min(-1, keepdims=True),
)
R(
    "MOST",
    "with|containing|having [the] most number of object|objects|items",
    lambda c: c.height == c.height.max(-1, keepdims=True),
)
R("BP", "LEAST / MOST", lambda c, m: m)
R(
    "S",
    "THE B BE P / THE B BE only P",
    lambda c, _, b, __, p: (b & (c.present & p).any(-1) & ~(c.present & ~p).any(-1)).any(-1),
)
R(
    "S",
    "Q of ART B BE COLOUR / Q of B BE COLOUR",
    lambda c, q, *v: q((v[-3] & (c.height > 0) & ~(c.present & ~v[-1]).any(-1)).sum(-1)),
)
R("S", "the N BE P / N BE P / a N BE P", lambda c, m, _, p: (m & p).any(IN_SCENE))
R("S", "the N BE P / N BE P / N BE only P", lambda c, m, _, p: (m & p).any(IN_SCENE) & ~(m & ~p).any(IN_SCENE))
R("S", "the N BE P / N BE P", lambda c, m, _, p: ~(m & ~p).any(IN_SCENE))
R(
    "S",
    "Q N BE P / only Q N BE P / the Q N BE P / only N BE P",
    lambda c, *v: (v[0] if len(v) == 4 else _some)((v[-3] & v[-1]).sum(IN_SCENE)),
)
R("S", "only P N BE P", lambda c, a, m, _, p: (m & p).any(IN_SCENE) & ~(p & ~(a & m)).any(IN_SCENE))
R(
    "S",
    "only N BE P / only COLOUR and COLOUR N BE P",
    lambda c, *v: (p_ := v[-1]).any(IN_SCENE) & ~(p_ & ~((v[0] | v[1]) & v[2] if len(v) == 5 else v[0])).any(IN_SCENE),
)
R("S", "none of ART N BE P / none of ART N P", lambda c, _, m, *v: ~(m & v[-1]).any(IN_SCENE))
R("S", "all|all_the|all_of_the N BE P / all the N BE P / all of the N BE P", lambda c, m, _, p: ~(m & ~p).any(IN_SCENE))
R(
    "S",
    "NOUN of all [the] [three|3] [different] COLOURWORD BE P / the NOUN of all [the] [three|3] [different] COLOURWORD BE P",
    lambda c, m, *v: _all(_colours(c, lambda k: k == 3)(m & v[-1]), IN_SCENE),
)
# towers' tops and bases
R(
    "S",
    "[the] PLACE of ART B is [only] P / [the] PLACE of ART B is P only",
    lambda c, m, _, b, p: (b & (m & p).any(-1)).any(-1),
)
R("S", "[the] PLACE of ART B is [only] P", lambda c, m, _, b, p: b.any(-1) & (~b | (m & p).any(-1)).all(-1))
R(
    "S",
    "[the] PLACE of EVERY B BE P / all [the] PLACE of ART B BE P / [the] tops|bases of ART B BE P",
    lambda c, *v: (
        (
            (
                c.top
                if len(v) < 5 and not isinstance(v[0], np.ndarray)
                else v[0]
                if isinstance(v[0], np.ndarray)
                else c.top
            )
            & v[-1]
        )
        .any(-1)
        .all(-1)
    ),
)
R(
    "S",
    "[the] PLACE of ART B is P and [the] PLACE is P",
    lambda c, m, _, b, p, r, s: (b & (m & p).any(-1) & (r & s).any(-1)).any(-1),
)
R(
    "S",
    "[the] PLACE and [the] PLACE of ART B BE P",
    lambda c, m, r, _, b, __, p: (b & (m & p).any(-1) & (r & p).any(-1)).any(-1),
)
R("S", "[the] PLACE and [the] PLACE of ART B BE ALIKE", lambda c, m, r, _, b, *__: (b & _alike(c, m, r)).any(-1))
R(
    "S",
    "[the] colour|color of ART B is COLOUR and COLOUR",
    lambda c, _, b, p, r: (b & _all(_both(c, p, r)(c.present), IN_BOX)).any(-1),
)
R(
    "S",
    "Q of ART B base|top is|are COLOUR / Q of ART B HAS COLOUR base",
    lambda c, q, _, b, *v: q((b & (c.base & v[-1]).any(-1)).sum(-1)),
)
R(
    "S",
    "the first NUM NOUN of ART B BE P / the first NUM NOUN from the base of ART B BE P",
    lambda c, n, m, _, b, __, p: ((c.height >= n) & ~(c.present & (c.level < n) & ~p).any(-1) & b).any(-1),
)


def _equal_boxes(c: Scenes, values: np.ndarray, q: Test) -> np.ndarray:
    """(S,), whether as many boxes as q wants have the same value (S, 3)."""
    most = np.stack([(values == values[:, [i]]).sum(-1) for i in range(3)]).max(0)
    return q(np.where(most == 1, 0, most))


def _colour_of(c: Scenes, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, c.colour, -1).max(-1)


R(
    "SAMENESS",
    "[that|which] has|have SAME height / BE SAME in height / with SAME height / that|which BE SAME in height",
    lambda c, *_: c.height,
)
R(
    "SAMENESS",
    "[that|which] has|have SAME number of NOUN [each] / with SAME number of NOUN / has|have SAME number of NOUN each",
    lambda c, *_: c.height,
)
R(
    "SAMENESS",
    "[that|which] has|have SAME base / has|have SAME base COLOURWORD / has|have SAME COLOURWORD base / has|have SAME COLOURWORD NOUN at the base / that|which has SAME base COLOURWORD / BE all SAME / with SAME base COLOURWORD",
    lambda c, *_: _colour_of(c, c.base),
)
R(
    "SAMENESS",
    "[that|which] has|have SAME top / has|have SAME top COLOURWORD / has|have SAME COLOURWORD on|at top / has|have SAME COLOURWORD",
    lambda c, *_: _colour_of(c, c.top),
)
R(
    "S",
    "Q B SAMENESS / THEREBE Q B SAMENESS / Q of ART B SAMENESS / Q out of ART B SAMENESS / THEREBE only Q B SAMENESS",
    lambda c, *v: _equal_boxes(c, v[-1], [x for x in v if callable(x)][0]),
)
R("S", "EVERY B SAMENESS / all of the B SAMENESS", lambda c, *v: (v[-1] == v[-1][:, :1]).all(-1))
R(
    "S",
    "the bases of ART B SAMENESS / the base of ART B BE SAME",
    lambda c, *v: (_colour_of(c, c.base) == _colour_of(c, c.base)[:, :1]).all(-1),
)
R(
    "S",
    "all the top of the B have SAME COLOURWORD / SAME COLOURWORD is on top in EVERY BW / THEREBE only NUM COLOURWORD on the top in EVERY BW",
    lambda c, *v: (_colour_of(c, c.top) == _colour_of(c, c.top)[:, :1]).all(-1),
)
R(
    "S",
    "THEREBE a different number of NOUN in the BW / the number of NOUN in the BW is different / all the BW do not have SAME number of NOUN / all BW do not have SAME number of NOUN",
    lambda c, *v: ~(c.height == c.height[:, :1]).all(-1),
)

R(
    "X",
    "Q N stacked together / Q N attached [with|to] each other / Q N stacked together THATP / Q N stacked together KIND",
    lambda c, q, m, k=None: [lambda axes: q(_longest(c, m, axes))] + (k(m) if k else []),
)
R("S", "THEREBE X as the base|top of Q B", lambda c, _, x, q, b: q(b.sum(-1)))
R("P1", "above|over [the|a] base [block] / above the base [block] of BX", lambda c, *v: c.level == 1)
R("X", "Q COLOUR NOUN in EVERY BW", lambda c, q, a, m, *_: _counted(a & m, q))
R("W", "its base|bottom", lambda c: c.walls["bottom"])
R("P1", "at|on its ^top", lambda c: c.top)
R("P1", "at|on its ^base|bottom", lambda c: c.base)
R("X", "Q N WHICHPART", lambda c, q, m, parts: _counted(m, q) + parts(m))
R(
    "WHICHPART",
    "Q of which BE P / of which Q BE P / of which only Q BE P",
    lambda c, q, _, p: lambda m: _counted(m & p, q),
)
R(
    "WHICHPART",
    "Q of which BE P and Q BE P / of which Q BE P and Q BE P",
    lambda c, q, _, p, r, __, s: lambda m: _counted(m & p, q) + _counted(m & s, r),
)
R(
    "CL",
    "a|the COLOUR and COLOUR NOUN are EACHOTHER / a|the COLOUR and [a] COLOUR NOUN are EACHOTHER",
    lambda c, a, b, m, pairs: (pairs & (a & m)[..., None] & (b & m)[..., None, :]).any((-1, -2)),
)
R(
    "CL",
    "a|the COLOUR NOUN and [a] COLOUR NOUN are EACHOTHER",
    lambda c, a, m, b, n, pairs: (pairs & (a & m)[..., None] & (b & n)[..., None, :]).any((-1, -2)),
)
R("BP", "and XS / but XS", lambda c, x: _all(x, IN_BOX))
R("Q", "as / any", _constant(_some))
R("S", "[the] PLACE of the NUM B BE [all] P", lambda c, m, n, b, _, p: (b & (m & p).any(-1)).sum(-1) == n)
R(
    "S",
    "[the] PLACE of the NUM B BE P / [the] PLACE of EVERY B BE P",
    lambda c, m, n, b, _, p: (b & (m & p).any(-1)).all(-1),
)
R("S", "THEREBE X in [the] same BW / THEREBE X in one|a|1 BW", lambda c, _, x, b: (_all(x, IN_BOX) & b).any(-1))
R("X", "X1 among other NOUN", lambda c, x, m: x)
R("X1", "Q N", lambda c, q, m: _counted(m, q))
R("S", "THEREBE Q N BE P", lambda c, _, q, m, __, p: q((m & p).sum(IN_SCENE)))
R(
    "X",
    "SAME COLOURWORD / SAME COLOURWORD NOUN / NOUN of SAME COLOURWORD",
    lambda c, *v: _colours(c, lambda k: k == 1)(c.present),
)
R("X", "different COLOURWORD / different COLOURWORD NOUN", lambda c, *v: _colours(c, lambda k: k >= 2)(c.present))
R("X", "not all [three|3] [different] COLOURWORD", lambda c, *v: _colours(c, lambda k: k < 3)(c.present))
R("X", "odd number of NOUN", lambda c, m: _counted(m, lambda k: k % 2 == 1))
R("X", "even number of NOUN", lambda c, m: _counted(m, lambda k: k % 2 == 0))
R("EACHOTHER", "attached / not separated", lambda c: c.touching)
R(
    "P1",
    "between two NOUN of SAME COLOURWORD / between NOUN of SAME COLOURWORD / in between two NOUN of SAME COLOURWORD",
    lambda c, *v: _between_alike(c),
)
R(
    "XS",
    "X and only N on top of it / X and only N above it",
    lambda c, x, n: x + _counted(c.present & ~c.base, _some) + _counted(c.present & ~c.base & ~n, _none),
)
R(
    "XS",
    "X and Q N on top of it / X and Q N above it / X and Q N beneath|below it",
    lambda c, x, q, n: x + _counted(c.present & ~c.base & n, q),
)
R(
    "S",
    "Q of ART B HAS SAME COLOURWORD NOUN at|on [the] top and base|bottom",
    lambda c, q, _, b, *v: q((b & _alike(c, c.top, c.base)).sum(-1)),
)
R("CL", "the three|two|four items|blocks|objects has|have KIND", lambda c, kind: _all(kind(c.present), IN_BOX))
R("X", "Q N each", lambda c, q, m: _counted(m, q))


def _between_alike(c: Scenes) -> np.ndarray:
    found = [
        (c.on & (c.colour == i)[..., None, :]).any(-1) & (c.on.swapaxes(-1, -2) & (c.colour == i)[..., None, :]).any(-1)
        for i in range(len(COLOURS))
    ]
    return reduce(np.logical_or, found)
