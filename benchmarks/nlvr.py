"""NLVR v1 from its files to a checkpoint and a table: pre-train on drawn scenes, fine-tune on examples, judge on dev.

One run takes about an hour on one core. It needs the folder of https://github.com/lil-lab/nlvr that holds train/ and
dev/, with the PNG files:

    python benchmarks/nlvr.py --data NLVR_FOLDER

Finished runs are kept in OUTPUT and not repeated, stopped ones go on where they were. Once the first has looked at the
pictures, others can run beside it:

    python benchmarks/nlvr.py --data NLVR_FOLDER --seeds 1 2 3
    python benchmarks/nlvr.py --data NLVR_FOLDER --seeds 1 2 3 --ablation --share 0.167

All figures of a share are written to OUTPUT/share .../runs.json. With --finished such a file of another machine, as
docs/nlvr_runs.json, adds its runs to the table, and they are not repeated.

*Structured* are regions from the data set's representation, *images* are regions found in the PNG files; features are
pixels in both. Eight training directories choose the checkpoint; dev is only ever judged.
"""

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from nlvr_training import SETTINGS, Data, Variant, run

from lxmert.training import show_plain_errors
from lxmert.training.resume import write_whole

VARIANTS = {
    "whole recipe": Variant(),
    "without pre-training": Variant(pretrained=False),
    "answers only": Variant(grounding=False),
    "the paper's five tasks only": Variant(grounding=False, five_tasks=True),
    "with the paper's five tasks": Variant(five_tasks=True),
    "without recombined sentences": Variant(recombined=0.0),
    "without drawn scenes": Variant(drawn_scenes=False),
    "without augmentation": Variant(augmented=False),
    "VisualBERT of equal size": Variant(model="visual_bert"),
    "language encoder from MiniLM": Variant(model="minilm"),
    "question only": Variant(withhold="image"),
    "image only": Variant(withhold="question"),
}
STAGES = ("pretraining", "finetuning")
COLUMNS = [f"{split}, {setting}" for split in ("dev", "validation") for setting in SETTINGS]


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dev/")
    parser.add_argument("--output", type=Path, default=Path("runs/nlvr"), help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="(default: 1)")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["whole recipe"], metavar="NAME")
    parser.add_argument("--ablation", action="store_true", help=f"all variants: {', '.join(VARIANTS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs of both stages (default: 1)")
    parser.add_argument("--finished", type=Path, metavar="FILE", help="figures of runs that are not repeated")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    arguments = parser.parse_args()
    show_plain_errors()
    torch.set_num_threads(arguments.threads)

    work = arguments.output / f"share {arguments.share:g}"
    results = finished(arguments.finished, work, arguments.share)
    data = None
    for seed in arguments.seeds:
        for name in VARIANTS if arguments.ablation else arguments.variants:
            if (name, seed) not in results:
                data = data or Data.of(arguments.data, arguments.output)
                folder = work / f"{name} {seed}".replace(" ", "_").replace("'", "")
                print(f"{name}, seed {seed}: {folder}", flush=True)
                result = run(data, VARIANTS[name], seed, folder, arguments.share)
                result |= {"variant": name, "seed": seed, "settings": asdict(VARIANTS[name]), "share": arguments.share}
                write_whole(folder / "figures.json", json.dumps(result, indent=2) + "\n")
    # again, for those of programs beside this one
    results = list(finished(arguments.finished, work, arguments.share).values())
    work.mkdir(parents=True, exist_ok=True)
    write_whole(work / "runs.json", json.dumps(results, indent=1) + "\n")
    print(table(results))
    print(draw_courses(results, work / "courses.png"))


def finished(file: Path | None, work: Path, share: float) -> dict[tuple[str, int], dict[str, Any]]:
    """Figures of runs that are done, by variant and seed: those of a file with this share, and those in a folder."""
    given = json.loads(file.read_text()) if file else []
    there = [json.loads(path.read_text()) for path in sorted(work.glob("*/figures.json"))]
    return {(run["variant"], run["seed"]): run for run in [*given, *there] if run["share"] == share}


def table(results: list[dict[str, Any]]) -> str:
    """Mean and spread over seeds, of every variant that has run, before fine-tuning and after it."""
    lines = [f"{'variant':<44}{'seeds':>6}  " + "".join(f"{name:<26}" for name in COLUMNS) + f"{'minutes':>8}"]
    for name in VARIANTS:
        runs = [result for result in results if result["variant"] == name]
        before = [result["before fine-tuning"] for result in runs if "before fine-tuning" in result]
        seconds = [result["seconds"] for result in runs if result["seconds"]]
        for title, rows in ((f"{name}, before fine-tuning", before), (name, runs)):
            if rows:
                cells = [
                    f"{spread(rows, column, 'accuracy')} / {spread(rows, column, 'consistency')}" for column in COLUMNS
                ]
                cost = f"{statistics.mean(seconds) / 60:.0f}" if seconds and rows is runs else ""
                lines.append(f"{title:<44}{len(rows):>6}  " + "".join(f"{cell:<26}" for cell in cells) + f"{cost:>8}")
    return "\n".join([*lines, "Accuracy / consistency in %, mean ± standard deviation over seeds."])


def draw_courses(results: list[dict[str, Any]], path: Path) -> Path:
    """Accuracy on the validation directories over both stages: one line for each variant, a band from worst to best."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for panel, stage, title in zip(panels, STAGES, ("Pre-training", "Fine-tuning"), strict=True):
        for number, name in enumerate(VARIANTS):
            courses = [result[stage] for result in results if result["variant"] == name and stage in result]
            shortest = min((len(course) for course in courses), default=0)
            if shortest:
                epochs = [entry["epoch"] for entry in courses[0][:shortest]]
                values = 100 * np.array([[e["validation_accuracy"] for e in course[:shortest]] for course in courses])
                style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--"}
                panel.plot(epochs, values.mean(0), label=name, **style)
                panel.fill_between(epochs, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
        panel.set(title=title, xlabel="epoch")
        panel.grid(alpha=0.3)
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("accuracy on validation directories, %")
    shown = {line.get_label(): line for panel in panels for line in panel.lines}
    figure.legend(shown.values(), shown.keys(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=150)
    return path


def spread(runs: list[dict[str, Any]], split: str, figure: str) -> str:
    """Mean and standard deviation, in percent."""
    values = [100 * result[split][figure] for result in runs]
    deviation = f"±{statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


if __name__ == "__main__":
    main()
