"""Numbers and quantifiers."""

from lxmert.scenes.claims import at_least, at_most, constant, exactly, none, one, some
from lxmert.scenes.parsing import Table

WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}

NUMBERS: Table = {
    "NUM": [(f"{word} / {number}", constant(number)) for word, number in WORDS.items()],
    "PLURALNUM": [(f"{word} / {number}", constant(number)) for word, number in WORDS.items() if number > 1],
    "Q": [
        ("exactly NUM / only NUM / just NUM", lambda _, number: exactly(number)),
        ("NUM", lambda _, number: exactly(number)),
        ("NUM", lambda _, number: at_least(number)),
        ("a|an", constant(some)),
        ("a|an", constant(one)),
        ("at least NUM / NUM or more", lambda _, number: at_least(number)),
        ("at least a", constant(some)),
        ("at most NUM / not more than NUM", lambda _, number: at_most(number)),
        ("not more than a", constant(at_most(1))),
        ("more than NUM", lambda _, number: at_least(number + 1)),
        ("less than NUM", lambda _, number: at_most(number - 1)),
        ("no", constant(none)),
        ("a single / single / only a|an / exactly a|an", constant(one)),
        ("multiple", constant(at_least(2))),
        ("many / a lot of", constant(at_least(4))),
        ("many / multiple / a lot of", constant(at_least(3))),
        ("many / a lot of", constant(at_least(5))),
        ("some / some of the / as / any", constant(some)),
    ],
}
