from collections import Counter

import datasets
import pytest

from lxmert.processing import read_records
from lxmert.training.pretraining_examples import NO_ANSWER, PretrainingExamples

LABEL2ID = {"yes": 0, "no": 1, "red": 2}


def make_records(count: int = 40, images: int = 10) -> datasets.Dataset:
    rows = [
        {"image_id": f"image {i % images}", "sentence": f"sentence {i} of image {i % images}", "answers": {"yes": 1.0}}
        for i in range(count)
    ]
    rows[0]["answers"] = {"yes": 0.9, "no": 0.3, "unheard of": 0.5}
    rows[1]["answers"] = {}
    columns = {name: [row[name] for row in rows] for name in ("image_id", "sentence")}
    columns["answers"] = [list(row["answers"]) for row in rows]
    columns["scores"] = [list(row["answers"].values()) for row in rows]
    return read_records(datasets.Dataset.from_dict(columns), progress=False)[0]


def test_half_of_the_pairs_get_a_sentence_of_another_image() -> None:
    examples = PretrainingExamples(make_records(), LABEL2ID, seed=0)
    drawn = [examples.draw(epoch, index) for epoch in range(100) for index in range(40)]
    assert sum(example.matched for example in drawn) / len(drawn) == pytest.approx(0.5, abs=0.032)  # 4 deviations
    for example in drawn:
        assert example.sentence.endswith(f"of {example.image_id}") == example.matched
        assert example.other_image_id != example.image_id
        assert example.answer == NO_ANSWER or example.matched, "an unmatched pair loses its answer"
    sources = [(e.sentence.rpartition("of ")[2], e.other_image_id) for e in drawn if not e.matched]
    same = sum(source == other for source, other in sources) / len(sources)
    assert same == pytest.approx(1 / 9, abs=0.03), "regions and sentence come from two images, drawn apart"
    unmatched = Counter(example.sentence for example in drawn if not example.matched)
    assert len(unmatched) == 40, "every sentence serves as a wrong one"


def test_answers_are_drawn_in_proportion_to_their_scores() -> None:
    examples = PretrainingExamples(make_records(), LABEL2ID, unmatched_rate=0.0, seed=0)
    answers = Counter(examples.draw(epoch, 0).answer for epoch in range(4000))
    assert answers.keys() == {LABEL2ID["yes"], LABEL2ID["no"]}, "an answer outside the table is never drawn"
    assert answers[LABEL2ID["yes"]] / 4000 == pytest.approx(0.75, abs=0.028)
    assert {examples.draw(epoch, 1).answer for epoch in range(50)} == {NO_ANSWER}, "a caption has no answer"


def test_a_draw_depends_on_seed_epoch_and_row_alone() -> None:
    records = make_records()
    first, again, other = (PretrainingExamples(records, LABEL2ID, seed=seed) for seed in (1, 1, 2))
    backwards = {index: again.draw(3, index) for index in reversed(range(40))}
    assert [first.draw(3, index) for index in range(40)] == [backwards[index] for index in range(40)]
    assert [first.draw(3, index) for index in range(40)] != [first.draw(4, index) for index in range(40)]
    assert [first.draw(3, index).sentence for index in range(40)] != [other.draw(3, i).sentence for i in range(40)]
    numbers = first.draw(3, 5).generator(1).random(4).tolist()
    assert numbers == again.draw(3, 5).generator(1).random(4).tolist()
    assert numbers != first.draw(3, 5).generator(2).random(4).tolist()


def test_answers_join_with_their_epoch_but_always_validate() -> None:
    examples = PretrainingExamples(make_records(), LABEL2ID, unmatched_rate=0.0, answers_from_epoch=2, seed=0)
    assert [examples.draw(epoch, 2).answer for epoch in range(4)] == [NO_ANSWER, NO_ANSWER, 0, 0]
    assert examples[2].answer == 0
    assert examples[2] == examples[2]
    assert examples[-1] == examples[39]
    with pytest.raises(IndexError):
        examples[40]


def test_one_image_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="one image only"):
        PretrainingExamples(make_records(count=5, images=1), LABEL2ID)
