"""What a model gets wrong on NLVR v1, by kind of sentence, and which regions it takes words for.

    python benchmarks/nlvr_errors.py --data NLVR_FOLDER --checkpoint FOLDER --output FOLDER

The checkpoint is one that `benchmarks/nlvr.py` has trained, with grounding. It answers the development split from the
PNG files, and OUTPUT gets errors.md (tables), errors.png (bars), right.png and wrong.png (examples with what words
mean) and errors.json (everything). A sentence can be of several kinds.

Some labels are wrong, too. The grammar's reading of a sentence says what its label should be; where label and reading
differ, the label may be wrong, or the reading. No model learns from readings of the development split: they are made
here, for this analysis alone.
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from nlvr_kinds import KINDS, SCENES, WORDINGS, kinds_of
from transformers import BertTokenizer

from lxmert import LxmertForPreTraining, LxmertProcessor
from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.evaluation import nlvr_figures
from lxmert.processing import Question
from lxmert.processing.record_tables import write_whole
from lxmert.scenes import Scenes, kind_of, read_sentences
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import Tree, evaluate, rules_of
from lxmert.scenes.sentences import UNUSED_WEIGHT, log_weights
from lxmert.scenes.words import split_words
from lxmert.training.nlvr import Nlvr, nlvr_images, read_nlvr
from lxmert.visualization import FUNCTION_WORDS, Grounding, content_words, draw_groundings, ground_words

RIGHT_SHOWN, WRONG_SHOWN = 6, 12
GREEN, PALE, GREY = "#2a7f4f", "#ecd3d0", "#555555"


@dataclass(frozen=True)
class Example:
    """A sentence about a picture, and what the model and the grammar say of it.

    Args:
        question: of the development split.
        grounding: the model's answer and what words mean.
        kinds: (group, kind) of all kinds that the sentence is of.
        reading: whether the grammar's reading makes the sentence true; None where there is none.
    """

    question: Question
    grounding: Grounding
    kinds: tuple[tuple[str, str], ...]
    reading: str | None

    @property
    def answer(self) -> str:
        """The model's."""
        return self.grounding.answers[0][0]

    @property
    def right(self) -> bool:
        """Whether the model's answer is the label."""
        return self.answer == self.question.answer

    @property
    def doubtful(self) -> bool:
        """Whether the reading contradicts the label."""
        return self.reading is not None and self.reading != self.question.answer


class Readings:
    """Readings of sentences: the one chosen for training sentences, else the one whose rules those use most.

    Args:
        nlvr: the data set, of which the training part is read.
        progress: show a bar with time left.
    """

    def __init__(self, nlvr: Nlvr, progress: bool = True):
        questions = nlvr.training
        scenes = Scenes.of([nlvr.scenes[question.image_ids[0]] for question in questions])
        truths = np.array([question.answer == "true" for question in questions])
        read = read_sentences([question.text for question in questions], scenes, truths, progress)
        self.grammar = nlvr_grammar()
        self.chosen = {meant.words: meant.tree for meant in read}
        counts: Counter[int] = Counter()
        words, heads = set(), set()
        for meant in read:
            for number in rules_of(meant.tree):
                counts[number] += int(meant.weight)
            words |= set(meant.words)
            heads |= {meant.words[place] for place in meant.evaluate(scenes[:1])[1]}
        self.weights = log_weights(self.grammar, counts)
        self.never_heads = frozenset(words - heads)

    def of(self, text: str) -> Tree | None:
        """The reading of a sentence, or None."""
        words = tuple(split_words(text))
        if words in self.chosen:
            return self.chosen[words]
        return max(self.grammar.parse(words), key=self._usual, default=None)

    def _usual(self, tree: Tree) -> float:
        return sum(self.weights.get(number, UNUSED_WEIGHT) for number in rules_of(tree))

    def truth(self, text: str, scenes: Scenes) -> str | None:
        """Whether the sentence is "true" or "false" of the one scene; None without a reading."""
        tree = self.of(text)
        return None if tree is None else ("false", "true")[int(np.all(evaluate(tree, scenes)[0]))]


@dataclass(frozen=True)
class Row:
    """Figures of one kind: numbers of sentences and examples, shares of right answers and of the commonest label."""

    group: str
    kind: str
    sentences: int
    examples: int
    accuracy: float
    majority: float

    @classmethod
    def of(cls, group: str, kind: str, examples: Sequence[Example]) -> "Row":
        """Of at least one example."""
        labels = Counter(example.question.answer for example in examples)
        return cls(
            group,
            kind,
            len({example.question.text for example in examples}),
            len(examples),
            sum(example.right for example in examples) / len(examples),
            max(labels.values()) / len(examples),
        )


def rows_of(examples: Sequence[Example]) -> list[Row]:
    """Figures of all examples, and of each kind that some are of."""
    order = [("scene", name) for name in SCENES] + [(kind.group, kind.name) for kind in KINDS]
    order += [("wording", name) for name in WORDINGS]
    found = {kind: [example for example in examples if kind in example.kinds] for kind in order}
    return [Row.of("all", "all", examples)] + [Row.of(*kind, members) for kind, members in found.items() if members]


def always_wrong(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The examples of each sentence that is answered wrongly about every picture, those with most pictures first."""
    of: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        of[example.question.text].append(example)
    wrong = [(text, found) for text, found in of.items() if not any(example.right for example in found)]
    return dict(sorted(wrong, key=lambda item: -len(item[1])))


def label_noise(examples: Sequence[Example]) -> dict[str, int]:
    """How many wrong and right answers there are, for how many there is a reading, and how many readings object."""
    counts = {}
    for name, right in (("wrong", False), ("right", True)):
        found = [example for example in examples if example.right is right]
        counts[name] = len(found)
        counts[f"{name}, read"] = sum(example.reading is not None for example in found)
        counts[f"{name}, label contradicts reading"] = sum(example.doubtful for example in found)
    return counts


def noise_text(counts: dict[str, int]) -> str:
    """`label_noise` in a sentence."""

    def told(name: str) -> str:
        part, read, whole = counts[f"{name}, label contradicts reading"], counts[f"{name}, read"], counts[name]
        share = f" ({part / whole:.1%})" if whole else ""
        return f"{part} of {whole} {name} answers{share}, of which {read} have a reading"

    return (
        f"Probable label noise: the grammar's reading contradicts the label in {told('wrong')}; for comparison, in "
        f"{told('right')}."
    )


def judge(data: Path, checkpoint: Path, output: Path) -> tuple[list[Example], Readings]:
    """Answer the development split from its pictures.

    Raises:
        ValueError: a checkpoint whose answers are not true and false, or without a grounding head.
    """
    nlvr = read_nlvr(data)
    model = LxmertForPreTraining.from_pretrained(checkpoint).eval()
    if set(model.config.id2label.values()) != {"false", "true"} or not model.config.task_qa:
        raise ValueError(
            f"{checkpoint} answers {list(model.config.id2label.values())[:5]}, not false and true: take a checkpoint "
            "that benchmarks/nlvr.py has trained."
        )
    processor = LxmertProcessor(BertTokenizer.from_pretrained(checkpoint), DrawnBoxesRegionExtractor())
    pictures = nlvr_images(data, "dev", output)
    questions = nlvr.test
    groundings = ground_words(
        model,
        processor,
        [pictures[question.image_ids[0]] for question in questions],
        [question.text for question in questions],
        [question.answer for question in questions],
        progress=True,
    )
    readings = Readings(nlvr)
    scenes = Scenes.of([nlvr.scenes[question.image_ids[0]] for question in questions])
    towers = kind_of(scenes)
    seen = {tuple(split_words(question.text)) for question in nlvr.training}
    examples = []
    for row, (question, grounding) in enumerate(zip(questions, groundings, strict=True)):
        known = tuple(split_words(question.text)) in seen
        kinds = kinds_of(question.text, bool(towers[row]), known)
        reading = readings.truth(question.text, scenes[row : row + 1])
        caption = "" if reading in (None, question.answer) else f"the grammar reads it as {reading}"
        examples.append(Example(question, replace(grounding, caption=caption), kinds, reading))
    return examples, readings


def shown(examples: Sequence[Example], right: bool, count: int, seed: int = 0) -> list[Grounding]:
    """Right or wrong examples drawn at random, each of another sentence, scattered shapes and towers in turn."""
    generator = random.Random(seed)
    of: dict[str, dict[str, list[Example]]] = {name: {} for name in SCENES}
    for example in examples:
        if example.right is right:
            of[dict(example.kinds)["scene"]].setdefault(example.question.text, []).append(example)
    drawn = [[generator.choice(found) for found in texts.values()] for texts in of.values()]
    for found in drawn:
        generator.shuffle(found)
    in_turn = [example for both in zip_longest(*drawn) for example in both if example is not None]
    return [example.grounding for example in in_turn[:count]]


def page(rows: Sequence[Row], figures: dict[str, float], wrong: dict[str, list[Example]], noise: str) -> str:
    """errors.md."""
    table = ["| group | kind | sentences | examples | accuracy | majority |", "|---|---|---:|---:|---:|---:|"]
    table += [
        f"| {row.group} | {row.kind} | {row.sentences} | {row.examples} | {row.accuracy:.1%} | {row.majority:.1%} |"
        for row in rows
    ]
    listed = ["| sentence | labels | answers | readings |", "|---|---|---|---|"]
    for text, found in wrong.items():
        cells = [(example.question.answer, example.answer, example.reading or "-") for example in found]
        listed.append(f"| {text} | {' | '.join(', '.join(column) for column in zip(*cells, strict=True))} |")
    parts = [
        "# What the model gets wrong on NLVR v1's development split",
        f"Accuracy {figures['accuracy']:.1%}, consistency {figures['consistency']:.1%}, from the pictures.",
        "## By kind of sentence",
        "A sentence can be of several kinds; majority is the share of the commonest label.",
        "\n".join(table),
        "![Accuracy by kind](errors.png)",
        "## Labels",
        noise,
        "The readings of this split are made for this analysis; no model learns from them.",
        f"## Sentences that are always wrong: {len(wrong)}",
        "\n".join(listed) if wrong else "None.",
        "## Examples",
        "![Right answers](right.png)",
        "![Wrong answers](wrong.png)",
    ]
    return "\n\n".join(parts) + "\n"


def draw_bars(rows: Sequence[Row], path: Path) -> None:
    """Accuracy by kind as bars, with the majority's share as a mark."""
    overall, *kinds = rows
    figure = Figure(figsize=(11, 1.7 + 0.33 * len(kinds)), layout="constrained")
    axis = figure.subplots()
    places = range(len(kinds))
    axis.barh(places, [1.0] * len(kinds), color=PALE, height=0.7)
    axis.barh(places, [row.accuracy for row in kinds], color=GREEN, height=0.7)
    for place, row in enumerate(kinds):
        axis.vlines(row.majority, place - 0.35, place + 0.35, color="black", linewidth=2)
        axis.text(1.12, place, f"{row.accuracy:.1%}", ha="right", va="center", fontsize=9)
        told = f"{row.examples} examples, {row.sentences} sentences"
        axis.text(1.14, place, told, va="center", fontsize=8.5, color=GREY)
        if place and row.group != kinds[place - 1].group:
            axis.plot([0, 1.7], [place - 0.5] * 2, color="#cccccc", linewidth=0.8)
    axis.axvline(overall.accuracy, color="black", linewidth=1, linestyle="--")
    names = [row.kind if row.kind.startswith(row.group) else f"{row.group}: {row.kind}" for row in kinds]
    axis.set_yticks(places, names, fontsize=9)
    axis.set_ylim(len(kinds) - 0.5, -0.5)
    axis.set_xlim(0, 1.7)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"], fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_bounds(0, 1)
    figure.suptitle("Right answers on NLVR v1's development split, by kind of sentence", fontsize=13)
    handles = [
        Patch(color=GREEN, label="share answered right"),
        Line2D([], [], color="black", linewidth=2, label="share of the commonest label"),
        Line2D([], [], color="black", linewidth=1, linestyle="--", label=f"all examples: {overall.accuracy:.1%}"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9, frameon=False)
    write_whole(path, lambda work: figure.savefig(work, dpi=110, format="png"))


def report(examples: Sequence[Example], output: Path, skip: frozenset[str] = FUNCTION_WORDS) -> str:
    """Write all files and return the page.

    Args:
        examples: judged ones.
        output: folder, which is made.
        skip: words that get no panel in the pictures of examples.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows, wrong, noise = rows_of(examples), always_wrong(examples), label_noise(examples)
    answers = {example.question.question_id: example.answer for example in examples}
    figures = nlvr_figures([example.question for example in examples], answers, progress=False)
    text = page(rows, figures, wrong, noise_text(noise))
    data: dict[str, Any] = {
        "accuracy": figures["accuracy"],
        "consistency": figures["consistency"],
        "kinds": [asdict(row) for row in rows],
        "label noise": noise,
        "always wrong": list(wrong),
        "examples": [
            {
                "id": example.question.question_id,
                "sentence": example.question.text,
                "label": example.question.answer,
                "answer": example.answer,
                "probability": round(example.grounding.answers[0][1], 4),
                "reading": example.reading,
                "kinds": [f"{group}: {name}" for group, name in example.kinds],
            }
            for example in examples
        ],
    }
    write_whole(output / "errors.json", lambda work: work.write_text(json.dumps(data, indent=1) + "\n"))
    draw_bars(rows, output / "errors.png")
    for name, right, most in (("right", True, RIGHT_SHOWN), ("wrong", False, WRONG_SHOWN)):
        if groundings := shown(examples, right, most):
            words = [content_words(grounding, skip=skip) for grounding in groundings]
            title = f"{len(groundings)} {name} answers, drawn at random; a box is meant where it holds what is meant"
            draw_groundings(groundings, output / f"{name}.png", title, words)
    write_whole(output / "errors.md", lambda work: work.write_text(text))
    return text


def main() -> None:
    """Judge, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dev/")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with weights, config.json and tokenizer")
    parser.add_argument("--output", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    examples, readings = judge(arguments.data, arguments.checkpoint, arguments.output)
    print(report(examples, arguments.output, FUNCTION_WORDS | readings.never_heads))


if __name__ == "__main__":
    main()
