"""Parts of speech of English sentences, by the Hanover Tagger.

HanTa (Wartena, "A Probabilistic Morphology Model for German Lemmatization", KONVENS 2019) brings its English model
inside its package and gives the tags of the British National Corpus ("C5"). `pip install lxmert[parts_of_speech]`.
"""

import functools
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from lxmert.visualization.neighbour_heads import SPECIAL

PartOfSpeech = Literal[
    "noun",
    "pronoun",
    "adjective",
    "number",
    "verb",
    "auxiliary",
    "adverb",
    "preposition",
    "conjunction",
    "determiner",
    "article",
    "there",
    "other",
]
PARTS_OF_SPEECH: tuple[PartOfSpeech, ...] = get_args(PartOfSpeech)
UNKNOWN = "[UNK]"  # wordpiece of all that a tokenizer does not know
INSTALL = "pip install lxmert[parts_of_speech]"
# The longest beginning of a C5 tag that is here decides: "that" is a conjunction or a pronoun, "all" a determiner.
OF_TAGS: dict[str, PartOfSpeech] = {
    "NN": "noun",
    "NP": "noun",
    "PN": "pronoun",
    "DTQ": "pronoun",  # which, what
    "DPS": "determiner",  # its
    "DT0": "determiner",  # all, any, each
    "AJ": "adjective",
    "ORD": "adjective",  # second
    "CRD": "number",
    "VV": "verb",
    "VH": "verb",
    "VD": "verb",
    "VB": "auxiliary",
    "VM": "auxiliary",
    "AV": "adverb",
    "PR": "preposition",
    "CJ": "conjunction",
    "AT0": "article",
    "EX0": "there",  # as in "there is"
}


class TaggedWord(NamedTuple):
    """A word in its sentence.

    Args:
        text: as it stands there.
        lemma: its dictionary form in small letters.
        part: of speech.
    """

    text: str
    lemma: str
    part: PartOfSpeech


class WholeWord(NamedTuple):
    """A word of a sentence that was cut into wordpieces.

    Args:
        text: the pieces joined.
        pieces: where they stand among the sentence's wordpieces.
    """

    text: str
    pieces: tuple[int, ...]


Tagger = Callable[[Sequence[str]], list[TaggedWord]]


def tag_words(words: Sequence[str]) -> list[TaggedWord]:
    """The part of speech of each word of an English sentence.

    Punctuation, "not" and what the tagger takes for letters or interjections are "other". It guesses words that it does
    not know, misspelt ones above all, by their form.

    Args:
        words: of one sentence, punctuation marks apart.

    Raises:
        ModuleNotFoundError: HanTa is not installed.
        TypeError: one text in place of words.
    """
    if isinstance(words, str):
        raise TypeError(f"words must be the words of a sentence, got the one text {words!r}: split it.")
    if not words:
        return []
    tagged = _hanover_tagger().tag_sent(list(words))
    return [TaggedWord(text, lemma.lower(), part_of(tag)) for text, (_, lemma, tag) in zip(words, tagged, strict=True)]


def part_of(tag: str) -> PartOfSpeech:
    """The part of speech of a C5 tag.

    Example:
        >>> part_of("NN2"), part_of("VBZ"), part_of("VVG"), part_of("PUN")
        ('noun', 'auxiliary', 'verb', 'other')
    """
    for length in (3, 2):
        if tag[:length] in OF_TAGS:
            return OF_TAGS[tag[:length]]
    return "other"


@functools.lru_cache(maxsize=1)
def _hanover_tagger() -> Any:
    try:
        from HanTa.HanoverTagger import HanoverTagger
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"Parts of speech need HanTa: {INSTALL}.", name="HanTa") from error
    return HanoverTagger("morphmodel_en.pgz")


def whole_words(pieces: Sequence[str]) -> list[WholeWord]:
    """Words out of wordpieces, without special tokens.

    Args:
        pieces: of one sentence, as a BERT's tokenizer makes them: a piece that goes on a word begins with "##".

    Example:
        >>> whole_words(["[CLS]", "two", "bal", "##loons", ".", "[SEP]"])[1:]
        [WholeWord(text='balloons', pieces=(2, 3)), WholeWord(text='.', pieces=(4,))]
    """
    words: list[WholeWord] = []
    for place, piece in enumerate(pieces):
        if piece in SPECIAL:
            continue
        if piece.startswith("##") and words and words[-1].pieces[-1] == place - 1:
            words[-1] = WholeWord(words[-1].text + piece[2:], (*words[-1].pieces, place))
        else:
            words.append(WholeWord(piece, (place,)))
    return words


def written_words(text: str, words: Sequence[WholeWord]) -> list[str]:
    """The words as they stand in the text, as far as it can be told; else as the wordpieces say.

    A tokenizer may make letters small, and has one name for all that it does not know.

    Args:
        text: of the sentence.
        words: of its wordpieces.

    Example:
        >>> written_words("Is it Öl?", whole_words(["is", "it", "[UNK]", "?"]))
        ['Is', 'it', 'Öl', '?']
    """
    written = _cut(text)
    spelt = [word.text for word in words]
    alike = len(written) == len(spelt) and all(
        piece == UNKNOWN or _plain(piece) == _plain(one) for piece, one in zip(spelt, written, strict=True)
    )
    return written if alike else spelt


def _cut(text: str) -> list[str]:
    """Words as a BERT cuts them: at spaces, and before and after each punctuation mark and each Chinese character."""
    words = []
    for part in text.split():
        apart = True
        for letter in part:
            alone = (
                unicodedata.category(letter).startswith("P")
                or (letter.isascii() and not letter.isalnum())
                or unicodedata.name(letter, "").startswith("CJK ")
            )
            if alone or apart:
                words.append(letter)
            else:
                words[-1] += letter
            apart = alone
    return words


def _plain(word: str) -> str:
    """Small letters without accents, as a tokenizer may make them."""
    return "".join(letter for letter in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(letter))
