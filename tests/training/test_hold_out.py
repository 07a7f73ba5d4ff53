import random
from pathlib import Path

import pytest

from lxmert.processing import Question, QuestionTable
from lxmert.training.hold_out import hold_out


def questions_about(images: list[tuple[str, ...]]) -> list[Question]:
    return [Question(pair, f"question {i}", {f"answer {i % 3}": 1.0}, str(i)) for i, pair in enumerate(images)]


def images_of(questions: list[Question]) -> set[str]:
    return {image_id for question in questions for image_id in question.image_ids}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_no_image_is_in_both_parts(share: float) -> None:
    generator = random.Random(0)
    questions = questions_about([(f"image {generator.randrange(200)}",) for _ in range(1000)])
    training, validation = hold_out(questions, share)
    assert not images_of(training) & images_of(validation)
    assert sorted(int(question.question_id) for question in training + validation) == list(range(1000))
    assert len(validation) == pytest.approx(1000 * share, abs=5)


def test_the_parts_follow_from_ids_and_seed() -> None:
    questions = questions_about([(f"image {i // 2}",) for i in range(100)])
    held = {question.question_id for question in hold_out(questions).validation}
    assert {question.question_id for question in hold_out(questions[::-1]).validation} == held
    assert {question.question_id for question in hold_out(questions, seed=1).validation} != held
    assert [int(question.question_id) for question in hold_out(questions).validation] == sorted(map(int, held))


def test_images_that_pairs_join_stay_together() -> None:
    pairs = [(f"{group}-{i}", f"{group}-{i + 1}") for group in range(10) for i in range(5)]
    random.Random(0).shuffle(pairs)
    training, validation = hold_out(questions_about(pairs), 0.2)
    assert not images_of(training) & images_of(validation)
    assert len(validation) == 10
    assert len({image_id.split("-")[0] for image_id in images_of(validation)}) == 2


def test_tables_give_tables(tmp_path: Path) -> None:
    questions = questions_about([(f"image {i // 4}",) for i in range(40)])
    table = QuestionTable.write(questions, tmp_path)
    from_list, from_table = hold_out(questions, 0.3), hold_out(table, 0.3)
    assert isinstance(from_table.training, QuestionTable)
    assert [q.question_id for q in from_table.validation] == [q.question_id for q in from_list.validation]
    again = hold_out(from_table.training, 0.3)
    assert images_of(list(again.training)) | images_of(list(again.validation)) == images_of(from_list.training)
    assert str(from_table) == str(from_list)


def test_an_image_of_most_questions_is_learned_from() -> None:
    questions = questions_about([("large",)] * 90 + [(f"small {i}",) for i in range(10)])
    for seed in range(5):
        validation = hold_out(questions, 0.1, seed).validation
        assert len(validation) == 10
        assert "large" not in images_of(validation)
    two = questions_about([("one",)] * 5 + [("two",)] * 3)
    assert images_of(hold_out(two, 0.01).validation) == {"two"}
    assert len(hold_out(two, 0.99).training) == 3


def test_it_says_what_it_did() -> None:
    questions = [
        *questions_about([("a",)] * 8),
        Question(("b",), "x", {"rare": 1.0}),
        Question(("b",), "y", {"rare": 1.0}),
    ]
    assert str(hold_out(questions, 0.2)) == (
        "Held out 2 of 10 questions (20.0 %), all those about 1 of 2 images; no image is in both parts. "
        "Answers that are right in the held-out part only: 1, such as 'rare'."
    )


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match="5 questions, all about the one image 'a'.*at least two images"):
        hold_out(questions_about([("a",)] * 5))
    with pytest.raises(ValueError, match="all joined by images that they share"):
        hold_out(questions_about([("a", "b"), ("b", "c")]))
    with pytest.raises(ValueError, match="questions is empty"):
        hold_out([])
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="share must lie above 0 and below 1"):
            hold_out(questions_about([("a",), ("b",)]), share)
