"""What a checkpoint of NLVR v1 is worth in each engine and precision: accuracy, size, time.

    python benchmarks/exported_accuracy.py --data NLVR_FOLDER
    python benchmarks/exported_accuracy.py --paper-size

Every question of the development split is answered alone, with the regions of the structured representation, by
PyTorch, ONNX Runtime and OpenVINO, on one thread. Times are the processor time of a call, as a mean over all questions:
on one thread and an idle machine that is what one waits, and on a busy one it stays what it is. "Regions known" are
those of calls that get the regions encoded already, as where one image serves many questions.

--paper-size measures time and size alone, with random weights in the paper's sizes: 14 words, 36 regions, 3129 answers.
"""

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nlvr_training import figures, scenes_of, truths
from tqdm.auto import tqdm

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.engines import FORMATS, PARTS, ExportedLxmert, export
from lxmert.engines.record import PRECISIONS
from lxmert.processing import Question
from lxmert.scenes import given_samples
from lxmert.training import show_plain_errors
from lxmert.training.nlvr import read_nlvr
from lxmert.training.nlvr_drawing import nlvr_prototypes
from lxmert.training.scene_batches import SceneBatches

WARM_UP = 20  # calls
PAPER_QUESTIONS = 20
WORDS = ("input_ids", "attention_mask", "token_type_ids")
REGIONS = ("visual_feats", "visual_pos", "visual_attention_mask")
COLUMNS = (
    "engine",
    "weights",
    "computed in",
    "MB",
    "accuracy",
    "consistency",
    "other answers",
    "logits differ by",
    "ms",
    "ms, regions known",
)
Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Contestant:
    """An engine in a precision.

    Args:
        names: of the engine, the precision of the weights, and that of the computation.
        size: of the whole model on disk, in bytes.
        call: answers, with the keywords of the model.
        encode_regions: the regions' part of that.
    """

    names: tuple[str, str, str]
    size: int
    call: Callable[..., Any]
    encode_regions: Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Outcome:
    """Logits (N, answers) of all questions, and mean milliseconds of processor time of a call, whole and rest."""

    logits: np.ndarray
    whole: float
    rest: float


def contestants(model: LxmertForQuestionAnswering, work: Path) -> Iterator[Contestant]:
    """Each engine and precision, one after the other."""
    for precision in ("float32", "bfloat16"):
        made = copy.deepcopy(model).to(getattr(torch, precision)).eval()
        folder = work / precision
        made.save_pretrained(folder)
        size = os.path.getsize(folder / "model.safetensors")
        yield Contestant(("PyTorch", precision, precision), size, made, made.lxmert.encode_regions)
    for format in FORMATS:  # noqa: A001
        for precision in PRECISIONS[format]:
            folder = work / f"{format} {precision}"
            export(model, folder, format, PARTS, precision)
            size = sum(os.path.getsize(file) for file in folder.glob("whole.*"))
            name = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}[format]
            for compute in ("float32", "bfloat16") if format == "openvino" else ("float32",):
                exported = ExportedLxmert.from_folder(folder, threads=1, compute=compute)
                yield Contestant((name, precision, compute), size, exported, exported.encode_regions)


@torch.inference_mode()
def answer(contestant: Contestant, questions: list[Inputs]) -> Outcome:
    """Every question alone, first whole, then with its regions encoded already."""
    for inputs in questions[:WARM_UP]:
        contestant.call(**inputs)
    logits, whole, rest = [], 0.0, 0.0
    for inputs in tqdm(questions, desc=", ".join(contestant.names), unit=" questions"):
        started = time.process_time()
        logits.append(contestant.call(**inputs).logits.float().numpy())
        whole += time.process_time() - started
        encoded = contestant.encode_regions(**{name: inputs[name] for name in REGIONS if name in inputs})
        known = {name: inputs[name] for name in (*WORDS, "visual_attention_mask") if name in inputs}
        started = time.process_time()
        contestant.call(**known, encoded_regions=encoded)
        rest += time.process_time() - started
    milliseconds = 1000 / len(questions)
    return Outcome(np.concatenate(logits), whole * milliseconds, rest * milliseconds)


def row(contestant: Contestant, found: Outcome, reference: Outcome, questions: list[Question] | None) -> list[str]:
    """A line of the table; accuracy where there are real questions."""
    chosen = found.logits.argmax(1)
    judged = ["", ""]
    if questions is not None:
        values = figures(questions, chosen)
        judged = [f"{100 * values[name]:.1f} %" for name in ("accuracy", "consistency")]
    return [
        *contestant.names,
        f"{contestant.size / 1e6:.2f}",
        *judged,
        f"{(chosen != reference.logits.argmax(1)).sum()} of {len(chosen)}",
        f"{np.abs(found.logits - reference.logits).max():.1e}",
        f"{found.whole:.2f}",
        f"{found.rest:.2f}",
    ]


def nlvr_inputs(data: Path, checkpoint: Path) -> tuple[list[Question], list[Inputs]]:
    """The development split, question by question."""
    nlvr = read_nlvr(data)
    questions = nlvr.test
    tokenizer = LxmertProcessor.from_pretrained(checkpoint).tokenizer
    samples = given_samples([question.text for question in questions], scenes_of(nlvr, questions), truths(questions))
    batches = SceneBatches(samples, tokenizer, nlvr_prototypes(DrawnBoxesRegionExtractor()))
    generator = np.random.default_rng(0)  # nothing is drawn without augmentation
    rows = (batches.batch([number], generator) for number in range(len(questions)))
    return questions, [{name: batch[name] for name in (*WORDS, *REGIONS) if name in batch} for batch in rows]


def paper_inputs(config: LxmertConfig) -> list[Inputs]:
    """Random questions."""
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "input_ids": torch.randint(1, config.vocab_size, (1, 14), generator=generator),
            "visual_feats": torch.rand(1, 36, config.visual_feat_dim, generator=generator),
            "visual_pos": torch.rand(1, 36, config.visual_pos_dim, generator=generator),
        }
        for _ in range(PAPER_QUESTIONS)
    ]


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/nlvr"), help="(default: %(default)s)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder that holds NLVR v1's train/ and dev/")
    what.add_argument("--paper-size", action="store_true", help="random weights in the paper's sizes instead")
    arguments = parser.parse_args()
    show_plain_errors()
    torch.set_num_threads(1)

    questions = None
    if arguments.paper_size:
        torch.manual_seed(0)
        model = LxmertForQuestionAnswering(LxmertConfig(num_qa_labels=3129)).eval()
        inputs = paper_inputs(model.config)
    else:
        model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint, dtype=torch.float32)
        questions, inputs = nlvr_inputs(arguments.data, arguments.checkpoint)
    lines, reference = [], None
    with tempfile.TemporaryDirectory() as work:
        for contestant in contestants(model, Path(work)):
            found = answer(contestant, inputs)
            reference = reference or found
            lines.append(row(contestant, found, reference, questions))
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main()
