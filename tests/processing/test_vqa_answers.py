from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.processing.vqa_answers import (
    PUNCTUATION,
    REPAIRED,
    annotator_agreement,
    normalize_vqa_answer,
    remove_vqa_punctuation,
    soft_scores,
)


@pytest.mark.parametrize(
    ("answer", "normalized"),
    [
        ("Yes", "yes"),
        ("  yes\n", "yes"),
        ("red\tand\nblue", "red and blue"),
        ("t-shirt-\tred", "tshirt red"),  # a tab counts as a space
        ("t-shirt\n-red", "tshirt red"),
        ("The dog", "dog"),
        ("a the an", ""),
        ("vitamin a", "vitamin"),
        ("theatre", "theatre"),
        ("none", "0"),
        ("Zero", "0"),
        ("ten o'clock", "10 o'clock"),
        ("eleven", "eleven"),
        ("twentyone", "twentyone"),
        ("one hundred", "1 hundred"),
        ("isnt", "isn't"),
        ("couldntve", "couldntve"),  # two apostrophes lack
        ("couldn'tve", "couldn't've"),
        ("Im", "im"),
        ("lets", "lets"),
        ("wed", "wed"),
        ("somebody'd", "somebodyd"),
        ("ow's'at", "'ow's'at"),
        ("man's", "man's"),
        ("12:30", "12:30"),
        ("at&t", "at&t"),
        ("t-shirt", "t shirt"),
        ("t-shirt - red", "tshirt red"),  # beside a space once, gone everywhere
        ("t-shirt, red", "t shirt red"),
        ("black/white", "black white"),
        ("is it?", "is it"),
        ("{a}", ""),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 tshirts"),  # a number with a comma takes all marks with it
        ("1, 2", "1 2"),
        ("yes.", "yes"),
        ("p.m.", "pm"),
        ("3.5", "3.5"),
        (".5", ".5"),
        ("3.", "3"),
        ("v.2", "v.2"),
        ("no. 1", "no 1"),
        ("." * 33 + "x", ".x"),
        ("", ""),
        (" . ", ""),
        ("ÉCOLE", "école"),
    ],
)
def test_answers_become_what_the_official_evaluation_compares(answer: str, normalized: str) -> None:
    assert normalize_vqa_answer(answer) == normalized


@given(st.text(alphabet=st.sampled_from("abT1 ,.'-/?:"), max_size=12))
def test_punctuation_goes_and_spaces_are_single(answer: str) -> None:
    normalized = normalize_vqa_answer(answer)
    assert PUNCTUATION.isdisjoint(normalized)
    assert normalized == " ".join(normalized.lower().split())


@given(st.text(alphabet=st.sampled_from(sorted(PUNCTUATION) + list("ab1 ")), max_size=10))
def test_punctuation_goes_mark_by_mark(answer: str) -> None:
    number = any(left.isdigit() and comma == "," and right.isdigit() for left, comma, right in triples(answer))
    expected = answer
    for mark in sorted(PUNCTUATION):
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        expected = expected.replace(mark, "" if beside_space or number else " ")
    assert remove_vqa_punctuation(answer) == expected


def triples(text: str) -> zip:
    return zip(text, text[1:], text[2:], strict=False)


def test_the_contractions() -> None:
    assert len(REPAIRED) == 114
    assert all(word.replace("'", "") == spelling.replace("'", "") for spelling, word in REPAIRED.items())
    assert REPAIRED["y'alld've"] == REPAIRED["yall'd've"] == REPAIRED["y'all'dve"] == "y'all'd've"
    assert not {"its", "well", "shell", "ill", "wed", "lets", "shes", "cannot"} & REPAIRED.keys()


@given(st.integers(2, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_agreement_is_the_average_over_leaving_one_out(numbers: tuple[int, int]) -> None:
    count, annotators = numbers
    answers = [True] * count + [False] * (annotators - count)
    shares = [min(1, (sum(answers) - left_out) / 3) for left_out in answers]
    assert annotator_agreement(count, annotators) == pytest.approx(sum(shares) / annotators)


def test_agreement_of_few_annotators() -> None:
    assert [annotator_agreement(count, 10) for count in (0, 1, 2, 3, 4, 10)] == [0, 0.3, 0.6, 0.9, 1, 1]
    assert [annotator_agreement(count, 1) for count in (0, 1)] == [0, 1]
    assert annotator_agreement(3, 3) == pytest.approx(2 / 3)


@pytest.mark.parametrize("numbers", [(0, 0), (2, 1), (-1, 10)])
def test_impossible_counts_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"count must lie in .* got {numbers[0]} of {numbers[1]}"):
        annotator_agreement(*numbers)


def test_soft_scores_by_hand() -> None:
    annotators = ["cat", "Two dogs", "2 dogs", "the cat", "dog", "2 dogs.", "cat", "cats", "puppy", "puppy"]
    scores = soft_scores(annotators)
    assert scores == {"cat": 0.9, "2 dogs": 0.9, "puppy": 0.6, "dog": 0.3, "cats": 0.3}
    assert list(scores) == ["cat", "2 dogs", "puppy", "dog", "cats"], "by count, then in order of appearance"
    assert soft_scores(["t-shirt"] * 10) == {"t shirt": 1.0}
    assert soft_scores(["a", ".", "yes", "yes", "the", "", "no", "no", "no", "no"]) == {"no": 1.0, "yes": 0.6}
    assert soft_scores([]) == {}


@given(st.lists(st.sampled_from(["yes", "Yes", "no", "a dog", "dog", "the"]), min_size=1, max_size=12))
def test_scores_lie_above_0_and_fall(annotators: list[str]) -> None:
    scores = list(soft_scores(annotators).values())
    assert all(0 < score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(Counter(map(normalize_vqa_answer, annotators)).keys() - {""})
