"""The grammar of NLVR's sentences: a reading of a sentence is a program that is run on scenes.

It was written after reading sentences of the training split of NLVR v1, and of no other. Rules are kept apart by what
they speak of; in each file, several symbols. What a symbol means, and what its value is for S scenes:

| file | symbol | what it writes | its value |
|---|---|---|---|
| `rules_numbers` | NUM, PLURALNUM | a number; one above one | `int` |
| | Q | a quantifier such as `at least two` | `Quantifier` |
| `rules_walls` | W | a wall or corner | objects that touch it |
| `rules_properties` | COLOUR, SIZE | a colour, a size | objects that have it |
| | P | what may follow `is` | objects of which it is true |
| | PLACE | a place in a tower such as `second block` | the objects there |
| `rules_objects` | NOUN, A, AN | a noun, an adjective, both | objects that are called so |
| | N | a noun with all that belongs to it | objects that are called so |
| | R, P1 | what may follow a noun | objects of which it is true |
| | BX | a box inside a phrase about objects | boxes |
| `rules_relations` | RELATION, EACHOTHER | `above`, `touching each other` | pairs of objects |
| | R1 | a relation to other objects | objects that stand in it |
| `rules_alike` | KIND | `of the same colour` | `Description` |
| | SAMENESS | `have the same height` | (S, 3), what is compared between boxes |
| `rules_parts` | PART, PARTS, PART2, WHICHPART | `of which two are blue` | `Description` |
| `rules_contents` | X, X1, XS | what a box or a scene contains; several such | `Claim` |
| `rules_boxes` | BW, BA, B | a box or tower; with what stands before and behind | boxes |
| | LEAST, MOST, BP | what may follow a box | boxes of which it is true |
| | CL | a sentence about each box | boxes of which it is true |
| `rules_sentences` | S | a sentence | (S,), whether it is true |

Objects are masks (S, 3, 8), pairs of objects (S, 3, 8, 8), boxes (S, 3), all of `bool`; `Quantifier`, `Claim` and
`Description` are explained in `claims`. All other symbols write words without a meaning of their own.

Several rules may write the same words: `two` is exactly two to some and at least two to others. Which reading holds is
not decided here, but by the labels of the sentences (`sentences`).
"""

from functools import cache

from lxmert.scenes.parsing import Grammar
from lxmert.scenes.rules_alike import ALIKE
from lxmert.scenes.rules_boxes import TOWERS
from lxmert.scenes.rules_contents import CONTENTS
from lxmert.scenes.rules_numbers import NUMBERS
from lxmert.scenes.rules_objects import OBJECTS
from lxmert.scenes.rules_parts import PARTS
from lxmert.scenes.rules_properties import PROPERTIES
from lxmert.scenes.rules_relations import RELATIONS
from lxmert.scenes.rules_sentences import SENTENCES
from lxmert.scenes.rules_walls import WALLS


@cache
def nlvr_grammar() -> Grammar:
    """The grammar of NLVR's sentences, made once; its sentences are `S`."""
    return Grammar(NUMBERS, WALLS, PROPERTIES, OBJECTS, RELATIONS, ALIKE, CONTENTS, PARTS, TOWERS, SENTENCES)
