import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.evaluation import RetrievalRecall, retrieval_figures


def test_recall_by_hand() -> None:
    scores = np.array(
        [
            [0.9, 0.1, 0.5],  # image 0 first
            [0.8, 0.2, 0.9],  # image 0 second
            [0.7, 0.6, 0.1],  # image 1 second
        ]
    )
    figures = retrieval_figures(scores, [0, 0, 1], ranks=(1, 2))
    assert figures == {
        "image_retrieval/recall@1": pytest.approx(1 / 3),
        "image_retrieval/recall@2": 1,
        "text_retrieval/recall@1": 1,  # image 0 by its first caption, image 1 by its one; image 2 has none
        "text_retrieval/recall@2": 1,
    }
    figures = retrieval_figures(scores, [1, 0, 0], ranks=[1, 2])
    assert figures["text_retrieval/recall@1"] == 0, "image 0 behind caption 0, image 1 behind both others"
    assert figures["text_retrieval/recall@2"] == 0.5
    assert list(retrieval_figures(scores, [0, 0, 1])) == [
        f"{direction}_retrieval/recall@{rank}" for direction in ("image", "text") for rank in (1, 5, 10)
    ]


def test_equal_scores_count_against() -> None:
    equal = np.zeros((4, 4), dtype=np.float32)
    figures = retrieval_figures(equal, range(4), ranks=[1, 3, 4])
    assert [figures[f"image_retrieval/recall@{rank}"] for rank in (1, 3, 4)] == [0, 0, 1]
    assert [figures[f"text_retrieval/recall@{rank}"] for rank in (1, 3, 4)] == [0, 0, 1]
    captions_of_one = np.ones((3, 1))
    assert set(retrieval_figures(captions_of_one, [0, 0, 0], ranks=[1]).values()) == {1.0}, "its own do not compete"


@given(st.data())
def test_recall_equals_a_loop(data: st.DataObject) -> None:
    captions, images = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    row = st.lists(st.integers(-2, 2), min_size=images, max_size=images)
    scores = data.draw(st.lists(row, min_size=captions, max_size=captions))
    right = data.draw(st.lists(st.integers(0, images - 1), min_size=captions, max_size=captions))
    figures = retrieval_figures(scores, right, ranks=[1, 2, 5])
    for rank in (1, 2, 5):
        found = [
            sum(scores[caption][other] >= scores[caption][image] for other in range(images) if other != image) < rank
            for caption, image in enumerate(right)
        ]
        assert figures[f"image_retrieval/recall@{rank}"] == pytest.approx(np.mean(found))
        found = []
        for image in sorted(set(right)):
            best = max(scores[caption][image] for caption in range(captions) if right[caption] == image)
            wrong = [scores[caption][image] for caption in range(captions) if right[caption] != image]
            found.append(sum(score >= best for score in wrong) < rank)
        assert figures[f"text_retrieval/recall@{rank}"] == pytest.approx(np.mean(found))


@pytest.mark.parametrize(
    ("scores", "images", "ranks", "message"),
    [
        ([1.0, 2.0], [0, 1], [1], r"scores must be \(captions, images\).*got shapes \(2,\) and \(2,\)"),
        ([[1.0, 2.0]], [0, 1], [1], r"got shapes \(1, 2\) and \(2,\)"),
        (np.zeros((0, 3)), [], [1], r"got shapes \(0, 3\) and \(0,\)"),
        ([[1.0, float("nan")]], [0], [1], "must be numbers, and not NaN"),
        ([["a", "b"]], [0], [1], "must be numbers, and not NaN"),
        ([[1.0, 2.0]], [2], [1], "whole numbers from 0 to 1"),
        ([[1.0, 2.0]], [-1], [1], "whole numbers from 0 to 1"),
        ([[1.0, 2.0]], [0.0], [1], "whole numbers from 0 to 1"),
        ([[1.0, 2.0]], [0], [0], r"at least 1, got \[0\]"),
        ([[1.0, 2.0]], [0], [], r"at least 1, got \[\]"),
        ([[1.0, 2.0]], [0], [1.5], r"at least 1, got \[1.5\]"),
    ],
)
def test_what_is_no_retrieval_is_refused(scores: object, images: list, ranks: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval_figures(scores, images, ranks)


def test_the_metric_counts_batches_together() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    right = [row % 7 for row in range(20)]
    metric = RetrievalRecall(keep_in_memory=True)
    for start in (0, 13):
        rows = slice(start, start + 13)
        metric.add_batch(predictions=scores[rows], references=right[rows])
    assert metric.compute() == retrieval_figures(scores, right)
    with pytest.raises(ValueError, match="same number of images"):
        RetrievalRecall().compute(predictions=[[0.5, 1.0], [0.5]], references=[0, 0])
