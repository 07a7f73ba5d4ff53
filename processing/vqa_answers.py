"""Answers to VQA questions as the official evaluation compares them, and what several annotators make of one.

The rules are those of the official evaluation's last version (github.com/GT-Vision-Lab/VQA, `vqaEval.py`), whose words
are on visualqa.org/evaluation. Other versions differ:

- Its first one normalised nothing. Later ones also took away apostrophes and colons, but neither curly brackets,
  hyphens nor exclamation marks, and wrote contractions with typographic apostrophes.
- The one for the challenge's server (github.com/Cloud-CV/VQA-Evaluation) turns punctuation into a space only beside
  a space, beside other punctuation or between two letters: "stop!" and "6-pack" keep theirs.
- The usual code for targets (that for the bottom-up features) counts annotators' answers as published, and normalises
  only the answer that stands for all.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

PUNCTUATION = frozenset(';/[]"{}()=+\\_-><@`,?!')  # no apostrophe, as in possessives, and no colon, as in times
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(NUMBER_WORDS)}
ARTICLES = frozenset(("a", "an", "the"))
NUMBER_WITH_COMMA = re.compile(r"\d,\d")
FULL_STOP = re.compile(r"\.(?!\d)")  # the original also looks behind, in a way that is always true
MOST_FULL_STOPS = 32  # the original passes re.UNICODE, which is 32, as the number of replacements
CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
# A contraction is known by its spellings that lack one apostrophe; one entry of the original is the wrong way round.
REPAIRED = {"somebody'd": "somebodyd"} | {
    word[:place] + word[place + 1 :]: word
    for word in CONTRACTIONS.split()
    for place, character in enumerate(word)
    if character == "'"
}


@lru_cache(maxsize=2**16)
def normalize_vqa_answer(text: str) -> str:
    """Bring an answer to the form in which the official evaluation compares it.

    In this order: punctuation goes (`remove_vqa_punctuation`); lower case; number words up to ten, and "none", become
    digits; the words a, an, the go; contractions get their apostrophes back; one space between words. What is left may
    be empty. The original's entries for "Im" and the like never apply, for words are lower case by then.

    Example:
        >>> normalize_vqa_answer("The T-shirt"), normalize_vqa_answer("Two dogs."), normalize_vqa_answer("dont know")
        ('t shirt', '2 dogs', "don't know")
        >>> normalize_vqa_answer("10,000"), normalize_vqa_answer("3.5"), normalize_vqa_answer("none"), (
        ...     normalize_vqa_answer("a")
        ... )
        ('10000', '3.5', '0', '')
    """
    text = remove_vqa_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(REPAIRED.get(word, word) for word in words if word not in ARTICLES)


def remove_vqa_punctuation(text: str) -> str:
    """Take punctuation out of an answer as the official evaluation does; its treatment of annotators' answers.

    A punctuation mark that stands beside a space anywhere in the text goes at all its places; any other becomes a
    space. Where the text has a number with a comma, all marks go. Then full stops go, but not before a digit.

    Example:
        >>> remove_vqa_punctuation("black/white"), remove_vqa_punctuation("yes, sir"), remove_vqa_punctuation("1,000/h")
        ('black white', 'yes sir', '1000h')
        >>> remove_vqa_punctuation("St. Patrick's, 2.30 p.m.")
        "St Patrick's 2.30 pm"
    """
    marks = PUNCTUATION.intersection(text)
    if marks:
        has_number = NUMBER_WITH_COMMA.search(text) is not None
        gone = {mark for mark in marks if has_number or f"{mark} " in text or f" {mark}" in text}
        text = text.translate({ord(mark): "" if mark in gone else " " for mark in marks})
    return FULL_STOP.sub("", text, count=MOST_FULL_STOPS) if "." in text else text


def annotator_agreement(count: int, annotators: int) -> float:
    """The score of an answer that `count` of so many annotators gave.

    It is min(1, matches / 3) among the others, averaged over leaving out each annotator once: with ten annotators
    0.3, 0.6 and 0.9 for one, two and three, then 1. A single annotator, who leaves no others, is agreed with or not.

    Raises:
        ValueError: no annotator, or a count outside 0 to their number.

    Example:
        >>> [annotator_agreement(count, 10) for count in range(5)]
        [0.0, 0.3, 0.6, 0.9, 1.0]
        >>> annotator_agreement(2, 2), annotator_agreement(1, 1)
        (0.3333333333333333, 1.0)
    """
    if annotators < 1 or not 0 <= count <= annotators:
        raise ValueError(f"count must lie in 0 to the number of annotators, at least 1, got {count} of {annotators}.")
    if annotators == 1:
        return float(count)
    left_out, kept = max(0, min(3, count - 1)), min(3, count)
    return (count * left_out + (annotators - count) * kept) / (3 * annotators)


def soft_scores(annotators: Sequence[str]) -> dict[str, float]:
    """Scores in (0, 1] of the answers that annotators gave, as LXMERT's targets have them (`annotator_agreement`).

    The official accuracy takes punctuation only from annotators' answers, and nothing where all are equal; here all
    are normalised in full, as a model's answer is before it is compared.

    Args:
        annotators: what each answered, ten in VQA, as published.

    Returns:
        Normalised answers, most frequent first, then in order of appearance; without the empty one.

    Example:
        >>> soft_scores(["Dog", "a dog", "dogs", "dog.", "cat", "dogs", "dog", "dog", "dog", "dog"])
        {'dog': 1.0, 'dogs': 0.6, 'cat': 0.3}
    """
    counts = Counter(map(normalize_vqa_answer, annotators))
    return {answer: annotator_agreement(count, len(annotators)) for answer, count in counts.most_common() if answer}
