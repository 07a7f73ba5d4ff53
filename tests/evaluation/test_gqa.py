import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import GqaAccuracy, gqa_figures
from lxmert.processing import Question, QuestionTable


def ask(name: str, right: str, structural: str, balanced: bool = True, entailed: str = "", **kinds: str) -> Question:
    kinds |= {"structural": structural, "balanced": str(balanced).lower()}
    return Question(("1",), kinds.pop("text", ""), {right: 1.0}, name, kinds=kinds, entailed=tuple(entailed))


def questions() -> list[Question]:
    color = {"global_group": "color", "detailed": "attribute"}
    return [
        ask("a", "red", "query", entailed="abcd", semantic="attr", steps="2", text="What color?", **color),
        ask("b", "yes", "verify", entailed="a", semantic="attr", steps="10", text="Is the apple  red ?"),
        ask("c", "no", "verify", balanced=False),
        ask("d", "yes", "verify", balanced=False),
        ask("e", "blue", "query", semantic="rel", steps="2", text="Which color?", **color),
        ask("f", "red", "choose", entailed="d", semantic="rel", steps="2", text="Red or blue?", **color),
        ask("g", "color", "compare", semantic="attr", steps="3", text="What do they share?", detailed="twoCommon"),
    ]


ANSWERS = {"a": "red", "b": "no", "c": "no", "d": "no", "e": "red", "f": "red", "g": "shape"}
ACCURACIES = {
    "accuracy": 2 / 5,
    "open_accuracy": 1 / 2,  # a, e
    "binary_accuracy": 1 / 3,  # f of b, f, g
    "accuracy/semantic/attr": 1 / 3,
    "accuracy/semantic/rel": 1 / 2,
    "accuracy/steps/2": 2 / 3,
    "accuracy/steps/3": 0,
    "accuracy/steps/10": 0,
    "accuracy/structural/choose": 1,
    "accuracy/structural/compare": 0,
    "accuracy/structural/query": 1 / 2,
    "accuracy/structural/verify": 0,
    "accuracy/words/2": 1 / 2,
    "accuracy/words/3": 1,
    "accuracy/words/4": 0,
    "accuracy/words/5": 0,
}
CONSISTENCY = (1 / 3 + 0) / 2  # a: c of b, c, d; f: none of d; the others are wrong
DISTRIBUTION = ((3 - 2) ** 2 / 2 + (0 - 1) ** 2 / 1) / 100  # red 3 times instead of 2, blue not once


@pytest.mark.parametrize("in_table", [False, True])
def test_figures_by_hand(in_table: bool) -> None:
    asked = QuestionTable.write(questions()) if in_table else questions()
    figures = gqa_figures(asked, ANSWERS)
    assert figures == pytest.approx(ACCURACIES | {"consistency": CONSISTENCY, "distribution": DISTRIBUTION})
    named = [name for name in figures if "/" in name]
    assert named == [name for name in ACCURACIES if "/" in name], "numbers by their size"


def test_only_balanced_questions_need_answers() -> None:
    some = {name: answer for name, answer in ANSWERS.items() if name not in "cd"}
    assert gqa_figures(questions(), some) == pytest.approx(ACCURACIES | {"distribution": DISTRIBUTION}), (
        "not consistency"
    )
    balanced = [question for question in questions() if question.question_id not in "cd"]
    assert gqa_figures(balanced, some) == pytest.approx(ACCURACIES | {"distribution": DISTRIBUTION})
    with pytest.raises(ValueError, match=r"answers lacks 1 id \('d'\) of 7 questions"):
        gqa_figures(questions(), some | {"c": "no"})
    with pytest.raises(ValueError, match=r"answers lacks 1 id \('b'\) of 5 questions"):
        gqa_figures(questions(), {name: answer for name, answer in some.items() if name != "b"})
    with pytest.raises(ValueError, match="holds no balanced one"):
        gqa_figures([question for question in questions() if question.question_id in "cd"], {"c": "no", "d": "no"})


def test_figures_come_where_what_they_need_is_given() -> None:
    plain = [Question(("1",), "", {"red": 1.0}, name) for name in "ab"]
    assert gqa_figures(plain, {"a": "red", "b": "Red"}) == {"accuracy": 0.5}
    entailing = [ask("a", "red", "query", entailed="ab"), ask("b", "yes", "verify")]
    assert gqa_figures(entailing, {"a": "blue", "b": "yes"})["consistency"] == 0, "none is right that entails another"
    alone = [ask("a", "red", "query", entailed="a")]
    assert "consistency" not in gqa_figures(alone, {"a": "red"}), "none entails another"


def test_validity_and_plausibility(tmp_path: Path) -> None:
    choices = {
        "a": {"valid": ["red", "blue"], "plausible": ["red"]},
        "b": {"valid": ["yes", "no"], "plausible": ["yes", "no"]},
        "e": {"valid": ["red", "blue"], "plausible": ["blue"]},
        "f": {"valid": ["blue"], "plausible": []},
        "g": {"valid": ["red"], "plausible": ["red"]},  # a question for what is common has its own choices
    }
    (tmp_path / "val_choices.json").write_text(json.dumps(choices))
    for given_choices in (choices, tmp_path / "val_choices.json", str(tmp_path / "val_choices.json")):
        figures = gqa_figures(questions(), ANSWERS, given_choices)
        assert (figures["validity"], figures["plausibility"]) == (4 / 5, 3 / 5)
    del choices["b"]
    with pytest.raises(ValueError, match=r"choices lacks 1 id \('b'\): is it the file of another split"):
        gqa_figures(questions(), ANSWERS, choices)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is no choices file of GQA"),
        ({"a": {"valid": ["red"]}}, "question 'a': 'plausible' must be a list"),
        ({"a": {"valid": "red", "plausible": []}}, "question 'a': 'valid' must be a list"),
        ({"a": ["red"]}, "question 'a': 'valid' must be a list"),
        ({"a": {"valid": ["red"], "plausible": [1]}}, "question 'a': 'plausible' must be a list of answers"),
    ],
)
def test_other_choices_are_refused(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "choices.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        gqa_figures(questions(), ANSWERS, tmp_path / "choices.json")
    assert str(caught.value).startswith(f"{tmp_path}/choices.json")
    with pytest.raises(ValueError, match=message) as caught:
        gqa_figures(questions(), ANSWERS, content)  # type: ignore[arg-type]
    assert str(caught.value).startswith("choices")


def test_broken_choices_are_named(tmp_path: Path) -> None:
    (tmp_path / "choices.json").write_text("{")
    with pytest.raises(ValueError, match=r"choices\.json: broken JSON"):
        gqa_figures(questions(), ANSWERS, tmp_path / "choices.json")


def test_groups_weigh_by_their_questions() -> None:
    asked = [ask(f"a{row}", "red", "query", global_group="color") for row in range(3)]
    asked += [ask("b", "cat", "query", global_group="animal")]
    answers = {"a0": "red", "a1": "blue", "a2": "green", "b": "dog"}
    expected = (3 * ((1 - 3) ** 2 / 3) + 1 * ((0 - 1) ** 2 / 1)) / 4 / 100
    assert gqa_figures(asked, answers)["distribution"] == pytest.approx(expected)


single = st.sampled_from("xyz")


@given(
    st.lists(st.tuples(single, single, st.sampled_from(["g", "h"]), st.sets(st.integers(0, 7))), min_size=1, max_size=8)
)
def test_consistency_and_distribution_equal_their_definitions(rows: list[tuple[str, str, str, set[int]]]) -> None:
    asked = [
        ask(str(row), right, "query", entailed="".join(map(str, entailed)), global_group=group)
        for row, (right, _, group, entailed) in enumerate(rows)
    ]
    figures = gqa_figures(asked, {str(row): given_answer for row, (_, given_answer, _, _) in enumerate(rows)})
    correct = [right == given_answer for right, given_answer, _, _ in rows]
    others = [entailed - {row} for row, (*_, entailed) in enumerate(rows)]
    if set().union(*others) <= set(range(len(rows))) and any(others):
        shares = [
            sum(correct[other] for other in names) / len(names)
            for row, names in enumerate(others)
            if names and correct[row]
        ]
        assert figures["consistency"] == pytest.approx(sum(shares) / len(shares) if shares else 0)
    else:
        assert "consistency" not in figures
    chi_square = 0.0
    for group in {group for _, _, group, _ in rows}:
        right = Counter(right for right, _, other, _ in rows if other == group)
        answered = Counter(answer for _, answer, other, _ in rows if other == group)
        chi_square += sum((answered[text] - count) ** 2 / count for text, count in right.items()) * right.total()
    assert figures["distribution"] == pytest.approx(chi_square / len(rows) / 100)
    assert figures["accuracy"] == pytest.approx(sum(correct) / len(correct))


def test_the_metric() -> None:
    metric = GqaAccuracy(keep_in_memory=True)
    metric.add_batch(predictions=["red"], references=["red"])
    metric.add_batch(predictions=["no"], references=["yes"])
    assert metric.compute() == {"accuracy": 0.5}
    balanced = [question for question in questions() if question.kinds["balanced"] == "true"]
    figures = GqaAccuracy("types").compute(
        predictions=[ANSWERS[question.question_id] for question in balanced],
        references=[question.answer for question in balanced],
        structural=[question.kinds["structural"] for question in balanced],
        semantic=[question.kinds["semantic"] for question in balanced],
    )
    expected = {name: value for name, value in ACCURACIES.items() if "/words/" not in name and "/steps/" not in name}
    assert figures == pytest.approx(expected)
    with pytest.raises(ValueError, match="config_name must be 'default' or 'types', got 'all'"):
        GqaAccuracy("all")
