"""Words of a sentence, with the commonest slips of the pen mended."""

import re

SLIPS = {
    "atleast": "at least", "tleast": "at least", "bellow": "below", "eactly": "exactly", "exacrly": "exactly", "exacty": "exactly",
    "exacts": "exact", "yelow": "yellow", "yelloe": "yellow", "yelllow": "yellow", "ble": "blue", "b;ue": "blue", "ablue": "a blue",
    "abox": "a box", "isa": "is a", "bow": "box", "bo": "no", "wth": "with", "wih": "with", "wirh": "with", "wwith": "with",
    "circ;e": "circle", "cirlce": "circle", "ciircles": "circles", "trianlge": "triangle", "traingles": "triangles", "traingle": "triangle",
    "sqaures": "squares", "objetcs": "objects", "bloxk": "block", "blicks": "blocks", "block/": "block", "bkack": "black", "adge": "edge",
    "egde": "edge", "touhing": "touching", "touch": "touching", "opis": "is", "hte": "the", "thee": "the", "theer": "there", "lest": "least",
    "leats": "least", "lease": "least", "ad": "and", "ans": "and", "od": "of", "al": "at", "gray": "grey", "tow": "two", "idle": "middle",
    "nealy": "nearly", "attach": "attached", "blacks": "black", "bottom-right": "bottom right", "bottom-left": "bottom left", "coloured": "colored",
    "none": "none", "back": "black", "level": "level",
}  # fmt: skip


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
        found.append((SLIPS.get(word, word).split(), match.span()))
    return found
