"""What the attention of a model of NLVR v1 does: the paper's "Visualizing LXMERT Behavior" in numbers and pictures.

    python benchmarks/attention_analysis.py --data NLVR_FOLDER --checkpoint checkpoints/nlvr --output runs/attention

The model reads the development split's sentences with their PNG files. Prints, and writes to OUTPUT as CSV files:
heads that look at the next or previous word, beside MiniLM's where it is installed (requirements-minilm.txt); how much
of the attention among regions stays within a box; what parts of speech look at. Draws neighbour_heads.png and
parts_of_speech.png, and for one sentence about one picture region_graph.png and region_graph_cross.png (of each encoder
the head that stays most within boxes), word_attention.png and relevance.png.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas
from nlvr_minilm import INSTALL_MINILM, minilm_folder
from tqdm.auto import tqdm
from transformers import BertModel, BertTokenizer

from lxmert import LxmertForQuestionAnswering, LxmertProcessor, Regions
from lxmert.processing import Question
from lxmert.training.nlvr import nlvr_images, read_nlvr
from lxmert.visualization import AttentionRecord, Explanation, attention_record, explain
from lxmert.visualization.neighbour_figures import draw_neighbour_heads
from lxmert.visualization.neighbour_heads import (
    LanguageAttention,
    bert_language_attention,
    lxmert_language_attention,
    score_heads,
)
from lxmert.visualization.parts_of_speech_figures import draw_parts_of_speech
from lxmert.visualization.region_graph_figures import GraphKind, draw_region_graph
from lxmert.visualization.relevance_figures import draw_relevance
from lxmert.visualization.word_attention import look_at_regions, object_class
from lxmert.visualization.word_attention_figures import draw_word_attention
from lxmert.visualization.word_classes import whole_words

BATCH_SIZE = 64
BOX = "box"
ARROWS = 16
MOST_WORDS = 12
TINY = 1e-12
GRAPHS: dict[GraphKind, str] = {"vision": "region_graph.png", "cross_vision_self": "region_graph_cross.png"}
METHODS = ("generic", "gradient_attention", "rollout", "raw_attention")


class Pair(NamedTuple):
    """A sentence about a picture, as the model sees it."""

    sentence: str
    regions: Regions
    record: AttentionRecord


def look(
    model: LxmertForQuestionAnswering, processor: LxmertProcessor, questions: Sequence[Question], files: dict[str, Path]
) -> Iterator[Pair]:
    """Every attention map of each question."""
    assert processor.region_extractor is not None
    with tqdm(total=len(questions), desc="Looking", unit=" sentences") as bar:
        for start in range(0, len(questions), BATCH_SIZE):
            part = questions[start : start + BATCH_SIZE]
            regions = processor.region_extractor([files[question.image_ids[0]] for question in part])
            texts = [question.text for question in part]
            records = attention_record(model, dict(processor(text=texts, regions=regions)), processor, regions)
            yield from map(Pair, texts, regions, records)
            bar.update(len(part))


def box_or_object(regions: Regions, row: int) -> str:
    """The two groups of regions of NLVR v1."""
    return BOX if object_class(regions, row) == BOX else "object"


def boxes_of(regions: Regions) -> np.ndarray:
    """(R,), for each region the row of the box that its centre lies in, its own for boxes, -1 outside of all."""
    centres = (regions.boxes[:, :2] + regions.boxes[:, 2:]) / 2
    found = np.full(len(regions), -1)
    for row in range(len(regions)):
        if object_class(regions, row) == BOX:
            x1, y1, x2, y2 = regions.boxes[row]
            found[((centres >= [x1, y1]) & (centres <= [x2, y2])).all(axis=1)] = row
    return found


def within_boxes(pairs: Sequence[Pair]) -> pandas.DataFrame:
    """For each layer and head of the attention among regions, how much of that on other regions stays in the own box.

    Means over all regions that share their box with another.

    Returns:
        Columns `kind`, `layer`, `head`, `within`, and `uniform`, what attention that is the same everywhere would give.
    """
    rows = []
    for kind in GRAPHS:
        total: np.ndarray | float = 0.0
        uniform, count = 0.0, 0
        for pair in pairs:
            box = boxes_of(pair.regions)
            others = ~np.eye(len(box), dtype=bool)
            inside = others & (box[:, None] == box) & (box[:, None] >= 0)
            asked = inside.any(axis=1)
            array = pair.record.maps[kind][:, 0][:, :, asked]  # (L, heads, asked, R)
            total = total + ((array * inside[asked]).sum(-1) / np.maximum((array * others[asked]).sum(-1), TINY)).sum(
                -1
            )
            uniform += float((inside.sum(1) / others.sum(1))[asked].sum())
            count += int(asked.sum())
        shares = np.asarray(total) / max(count, 1)
        rows += [
            (kind, layer, head, float(value), uniform / max(count, 1))
            for (layer, head), value in np.ndenumerate(shares)
        ]
    return pandas.DataFrame(rows, columns=["kind", "layer", "head", "within", "uniform"])


def encoders_of(pairs: Sequence[Pair], shown: Explanation) -> list[LanguageAttention]:
    """LXMERT's language layers on the sentence that is shown and on each other sentence once, and MiniLM's."""
    once = {pair.sentence: pair.record for pair in pairs if pair.sentence != shown.question}
    encoders = [lxmert_language_attention([shown.record, *once.values()])]
    try:
        folder = minilm_folder()
    except ModuleNotFoundError:
        print(f"MiniLM is not installed: no comparison. {INSTALL_MINILM}")
        return encoders
    bert, tokenizer = BertModel.from_pretrained(folder), BertTokenizer.from_pretrained(folder)
    sentences = [shown.question, *once]
    return [*encoders, bert_language_attention(bert, tokenizer, sentences, "MiniLM", progress=True)]


def words_to_draw(pieces: Sequence[str]) -> list[int]:
    """Positions of the first words, without punctuation marks; articles, too, unlike the default."""
    return [place for place, word in enumerate(whole_words(pieces)) if word.text.isalnum()][:MOST_WORDS]


def analyse(pairs: Sequence[Pair], shown: Explanation, output: Path, least: int) -> None:
    """Print and write the tables, and draw."""
    output.mkdir(parents=True, exist_ok=True)
    encoders = encoders_of(pairs, shown)
    tables = {"neighbour_heads": pandas.concat([score_heads(encoder).table() for encoder in encoders])}
    tables["within_boxes"] = within_boxes(pairs)
    records, regions = [pair.record for pair in pairs], [pair.regions for pair in pairs]
    layers = len(shown.record.maps["language_to_vision"])
    looks = [look_at_regions(records, regions, layer, group_of=box_or_object) for layer in range(layers)]
    means = [found.means().reset_index().assign(layer=layer) for layer, found in enumerate(looks)]
    tables["parts_of_speech"] = pandas.concat(means)
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False)
    best = tables["neighbour_heads"].sort_values("score", ascending=False).groupby(["encoder", "direction"]).head(3)
    with pandas.option_context("display.width", 160, "display.max_columns", 20, "display.precision", 3):
        print("\nThe three heads that look most at a neighbour", best.to_string(index=False), sep="\n")
        print("\nAttention among regions that stays in the own box", tables["within_boxes"].to_string(), sep="\n")
        print("\nWhat parts of speech look at, last layer", means[-1].to_string(index=False), sep="\n")
    draw_neighbour_heads(encoders, output / "neighbour_heads.png")
    for kind, name in GRAPHS.items():
        heads = tables["within_boxes"].query("kind == @kind")
        layer, head = heads.loc[heads["within"].idxmax(), ["layer", "head"]].astype(int)
        draw_region_graph(shown, output / name, kind, layer, head, ARROWS)
    draw_word_attention(shown, output / "word_attention.png", words=words_to_draw(shown.words))
    draw_parts_of_speech(looks[-1], output / "parts_of_speech.png", least)
    draw_relevance(shown, output / "relevance.png")
    print(f"\nTables and pictures are in {output}.")


def main() -> None:
    """Look, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dev/")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a model with its processor")
    parser.add_argument("--output", type=Path, required=True, help="folder of tables and pictures")
    parser.add_argument("--questions", type=int, help="how many of the development split; all by default")
    parser.add_argument("--least", type=int, default=20, help="words that a part of speech needs to be drawn")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/three_boxes.png"), help="to draw on")
    parser.add_argument("--sentence", default="There is a box with two yellow circles.", help="about the picture")
    arguments = parser.parse_args()
    model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint).eval()
    processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
    if processor.region_extractor is None:
        parser.error(
            f"{arguments.checkpoint} has no region extractor in its processor: take one like checkpoints/nlvr."
        )
    shown = explain(model, processor, arguments.picture, arguments.sentence, methods=METHODS)
    questions = read_nlvr(arguments.data).test[: arguments.questions]
    pairs = list(look(model, processor, questions, nlvr_images(arguments.data, "dev", arguments.output)))
    analyse(pairs, shown, arguments.output, arguments.least)


if __name__ == "__main__":
    main()
