"""Words of a sentence, with the commonest slips of the pen mended."""

import re

# by what was meant
SLIPS = {
    "at least": "atleast tleast",
    "below": "bellow",
    "exactly": "eactly exacrly exacty",
    "exact": "exacts",
    "yellow": "yelow yelloe yelllow",
    "blue": "ble b;ue",
    "a blue": "ablue",
    "a box": "abox",
    "is a": "isa",
    "box": "bow",
    "no": "bo",
    "with": "wth wih wirh wwith",
    "circle": "circ;e cirlce",
    "circles": "ciircles",
    "triangle": "trianlge traingle",
    "triangles": "traingles",
    "squares": "sqaures",
    "objects": "objetcs",
    "block": "bloxk block/",
    "blocks": "blicks",
    "black": "bkack blacks back",
    "edge": "adge egde",
    "touching": "touhing",
    "is": "opis",
    "the": "hte thee",
    "there": "theer",
    "least": "lest leats lease",
    "and": "ad ans",
    "of": "od",
    "at": "al",
    "two": "tow",
    "middle": "idle",
    "nearly": "nealy",
    "bottom right": "bottom-right",
    "bottom left": "bottom-left",
}
MENDED = {slip: word for word, slips in SLIPS.items() for slip in slips.split()}
VARIANTS = {"gray": "grey", "coloured": "colored", "touch": "touching", "attach": "attached"}  # of words of the grammar


def split_words(sentence: str) -> list[str]:
    """Small letters, no full stop or comma, slips mended.

    Example:
        >>> split_words("t least 1 tower has a yelow block, bellow a blue one.")
        ['at', 'least', '1', 'tower', 'has', 'a', 'yellow', 'block', 'below', 'a', 'blue', 'one']
    """
    return [word for words, _ in words_with_places(sentence) for word in words]


def words_with_places(sentence: str) -> list[tuple[list[str], tuple[int, int]]]:
    """The words that each stretch of letters stands for, and where it lies in the sentence."""
    found = []
    for index, match in enumerate(re.finditer(r"[^\s,.]+", sentence)):
        word = match.group().lower()
        if index == 0 and word in ("ll", "t"):  # first letters are missing in some sentences
            word = {"ll": "all", "t": "at"}[word]
        elif word == "t":
            word = "at"
        found.append((MENDED.get(word, VARIANTS.get(word, word)).split(), match.span()))
    return found
