"""What a visitor sees of an answer: bars, words and regions by relevance. Texts from outside are escaped."""

import io
from html import escape
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lxmert.visualization import Explanation
from lxmert.visualization.pictures import draw_weights, lit, picture_of, show_picture
from lxmert.visualization.word_classes import whole_words, written_words

METHOD: Final = "generic"
MOST_BARS, MOST_REGIONS = 5, 4
PICTURE_WIDTH, DOTS_PER_INCH = 900, 160
FONT_SIZE = 9  # points
EDGE = 0.008  # of the drawing, for the outlines of regions at the picture's edge
TALLEST = 0.9  # of the picture drawn, as a share of its width
FAINT = 0.05  # share of the strongest region below which none is named


def bars(explanation: Explanation) -> str:
    """The likeliest answers as HTML."""
    rows = []
    for rank, (answer, probability) in enumerate(explanation.answers[:MOST_BARS]):
        rows.append(
            f'<div class="bar{" best" if not rank else ""}"><span class="name">{escape(answer)}</span>'
            f'<span class="track"><span class="fill" style="width:{max(probability, 0.004):.1%}"></span></span>'
            f'<span class="share">{probability:.1%}</span></div>'
        )
    return f'<div class="answers" role="status">{"".join(rows)}</div>'


def words(explanation: Explanation, answer: str) -> str:
    """The question as HTML, its words coloured by how much the answer rests on them."""
    found = whole_words(explanation.words)
    pieces = explanation.relevances[METHOD][answer].words[0].clip(min=0)
    weights = np.array([pieces[list(word.pieces)].sum() for word in found])
    shares = weights / max(weights.max(initial=0), 1e-30)
    spans = [
        f'<span class="word" style="--share:{share:.3f}" title="relevance {weight:.2f}">{escape(text)}</span>'
        for text, share, weight in zip(written_words(explanation.question, found), shares, weights, strict=True)
    ]
    return (
        f'<h3>Why “{escape(answer)}”?</h3><p class="told">Words it rests on: the stronger the colour, the more</p>'
        f'<div class="words">{" ".join(spans)}</div>'
    )


def regions(explanation: Explanation, answer: str) -> str:
    """The strongest regions as HTML, for those who do not see the picture."""
    weights = explanation.relevances[METHOD][answer].regions[0].clip(min=0)
    rows = [row for row in (-weights).argsort(kind="stable")[:MOST_REGIONS] if weights[row] > FAINT * weights.max()]
    items = [
        f"<li>{escape(explanation.regions.describe(row) or f'region {row}')} <b>{weights[row]:.2f}</b></li>"
        for row in rows
    ]
    return f'<p class="told">Regions it rests on, outlined in the picture</p><ul class="regions">{"".join(items)}</ul>'


def picture(explanation: Explanation, answer: str) -> Image.Image:
    """The picture, lit where the regions are that the answer rests on."""
    height, width = explanation.regions.image_size
    weights = explanation.relevances[METHOD][answer].regions[0].clip(min=0)
    most = max(float(weights.max()), 1e-30)
    across = PICTURE_WIDTH * min(1.0, TALLEST * width / height) / DOTS_PER_INCH
    figure = Figure(figsize=(across, across * height / width), dpi=DOTS_PER_INCH)
    axis = figure.add_axes((EDGE, EDGE, 1 - 2 * EDGE, 1 - 2 * EDGE))
    show_picture(axis, lit(picture_of(explanation)[0], explanation.regions, np.sqrt(weights / most)), (height, width))
    numbered = min(MOST_REGIONS, int((weights > FAINT * most).sum()))
    draw_weights(axis, explanation.regions, weights, most, numbered, FONT_SIZE)
    file = io.BytesIO()
    figure.savefig(file, format="png", transparent=True)
    return Image.open(file)


def message(text: str) -> str:
    """Something that the visitor can put right, as HTML."""
    return f'<div class="message" role="alert">{escape(text)}</div>'
