"""Recall of image-text retrieval: how often what belongs together is found among the first few."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

RANKS = (1, 5, 10)


def retrieval_figures(
    scores: np.ndarray | Sequence[Sequence[float]], images: Sequence[int], ranks: Sequence[int] = RANKS
) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions.

    Image retrieval: the share of captions whose image is among the first k images. Text retrieval: the share of images
    with one of their captions among the first k captions; images without a caption only distract. Equal scores count
    against: what is no better than a wrong one stands behind it.

    Args:
        scores: (captions, images), higher for what fits better.
        images: (captions,) the column of each caption's image.
        ranks: the values of k.

    Returns:
        In [0, 1], such as "image_retrieval/recall@1" and "text_retrieval/recall@10".

    Raises:
        ValueError: shapes that do not fit, a score that is no number, a column that does not exist, ranks below 1.

    Example:
        >>> scores = [[0.9, 0.2, 0.9], [0.1, 0.3, 0.2], [0.4, 0.8, 0.1]]  # captions of images 0, 1, 2
        >>> retrieval_figures(scores, [0, 1, 2], ranks=[1, 2])  # caption 0 ties with image 2, 2 finds images 1 and 0
        {'image_retrieval/recall@1': 0.3333333333333333, 'image_retrieval/recall@2': 0.6666666666666666, \
'text_retrieval/recall@1': 0.3333333333333333, 'text_retrieval/recall@2': 0.6666666666666666}
    """
    matrix, columns = _checked(scores, images)
    if not ranks or any(isinstance(rank, bool) or rank != int(rank) or rank < 1 for rank in ranks):
        raise ValueError(f"ranks must be whole numbers of at least 1, got {ranks!r}.")
    rows = np.arange(len(columns))
    right = matrix[rows, columns]  # (captions,)
    better_images = (matrix >= right[:, None]).sum(axis=1) - 1  # (captions,) without the right one
    best = np.full(matrix.shape[1], -np.inf, dtype=matrix.dtype)  # (images,) of each image's own captions
    np.maximum.at(best, columns, right)
    own = np.bincount(columns[right >= best[columns]], minlength=matrix.shape[1])
    better_captions = ((matrix >= best).sum(axis=0) - own)[np.unique(columns)]
    found = {"image_retrieval": better_images, "text_retrieval": better_captions}
    return {
        f"{direction}/recall@{rank}": float(np.mean(better < rank))
        for direction, better in found.items()
        for rank in ranks
    }


def _checked(scores: np.ndarray | Sequence[Sequence[float]], images: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    matrix, columns = np.asarray(scores), np.asarray(images)
    if matrix.ndim != 2 or not matrix.size or columns.shape != matrix.shape[:1]:
        raise ValueError(
            "scores must be (captions, images) and images one column for each caption, got shapes "
            f"{matrix.shape} and {columns.shape}."
        )
    if matrix.dtype.kind not in "fiu" or np.isnan(matrix).any():
        raise ValueError("scores must be numbers, and not NaN.")
    if not np.issubdtype(columns.dtype, np.integer) or columns.min() < 0 or columns.max() >= matrix.shape[1]:
        raise ValueError(f"images must be columns of scores, whole numbers from 0 to {matrix.shape[1] - 1}.")
    return matrix if np.issubdtype(matrix.dtype, np.floating) else matrix.astype(np.float64), columns


class RetrievalRecall(evaluate.Metric):
    """`retrieval_figures` as an `evaluate` metric; works without network.

    Predictions are a caption's scores for all images, references the number of its image.

    Example:
        >>> figures = RetrievalRecall().compute(predictions=[[0.9, 0.1], [0.7, 0.2]], references=[0, 1])
        >>> figures["image_retrieval/recall@1"], figures["text_retrieval/recall@1"]
        (0.5, 1.0)
    """

    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.List(datasets.Value("float32")), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description="Recall at 1, 5 and 10 of image retrieval and of text retrieval.",
            citation="",
            inputs_description="predictions: a caption's scores for all images; references: the number of its image",
            features=datasets.Features(features),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if len({len(row) for row in predictions}) > 1:
            raise ValueError("predictions must score the same number of images for every caption.")
        return retrieval_figures(np.asarray(predictions, dtype=np.float32), references)
