"""The paper's ablation of its pre-training tasks, on data that trains in minutes: pre-train, fine-tune, test.

For every variant and seed: pre-train without some of the tasks (section 5.2 and 5.3 of the paper), fine-tune on
questions with answers, measure on the test split. Pre-training sees all training questions, with answers where its task
is on; fine-tuning sees some of them. Finished runs are kept in OUTPUT and not repeated; seeds can run side by side:

    python benchmarks/pretraining_ablation.py --data easy_vqa --seeds 1 2 3
    python benchmarks/pretraining_ablation.py --data nlvr --folder NLVR_FOLDER --seeds 1 2 3
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import set_seed

from lxmert import LxmertForQuestionAnswering
from lxmert.processing import Question
from lxmert.training import (
    PretrainingRecipe,
    PretrainingStart,
    TrainingSettings,
    evaluate_answers,
    question_answering_task,
    read_easy_vqa,
    read_nlvr,
    read_recipe,
    train,
)
from lxmert.training.collator import AnswerCollator
from lxmert.training.pretraining_data import PretrainingData
from lxmert.training.resume import write_whole

VARIANTS: dict[str, dict[str, Any] | None] = {
    "no pre-training": None,
    "all tasks": {},
    "without question answering": {"task_qa": False},
    "without vision tasks": {"task_obj_predict": False},
    "vision: features only": {"visual_obj_loss": False, "visual_attr_loss": False},
    "vision: labels only": {"visual_feat_loss": False},
    "all tasks, visual losses unweighted": {"visual_loss_normalizer": 1.0},
    "without matching": {"task_matched": False},
    "without masked words": {"task_mask_lm": False},
}
# The paper's four epochs, in batches of 32.
FINETUNING = {
    "easy_vqa": {"examples": 2000, "epochs": 4, "batch_size": 32, "learning_rate": 5e-4},
    "nlvr": {"examples": None, "epochs": 4, "batch_size": 32, "learning_rate": 5e-4},
}
RECIPES = {"easy_vqa": "small", "nlvr": "nlvr"}


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(FINETUNING), required=True)
    parser.add_argument("--folder", type=Path, help="of NLVR: holds train/ and dev/")
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS)[:7])
    parser.add_argument("--epochs", type=int, help="of pre-training, instead of the recipe's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    work = arguments.output / arguments.data
    work.mkdir(parents=True, exist_ok=True)
    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    file = Path(__file__).parent.parent / "examples" / "recipes" / f"{RECIPES[arguments.data]}.yaml"
    base = read_recipe(file, progress=False, **changes)
    data = base.load_data(work, arguments.folder, progress=False)
    for seed in arguments.seeds:
        for variant in arguments.variants:
            file = work / f"{file_name(variant)}-{seed}.json"
            settings = {"training": base.training, "model": base.model, "finetuning": FINETUNING[arguments.data]}
            if not file.is_file():
                result = run(base, data, arguments, variant, seed)
                write_whole(file, json.dumps(result | {"settings": settings}, indent=2) + "\n")
            elif json.loads(file.read_text()).get("settings") != json.loads(json.dumps(settings)):
                raise SystemExit(f"{file} was made with other settings: remove it, or choose another --output.")
            print(f"{variant}, seed {seed}: {json.loads(file.read_text())['test_accuracy']:.4f}", flush=True)
    print(table(work))


def run(
    base: PretrainingRecipe, data: PretrainingData, arguments: argparse.Namespace, variant: str, seed: int
) -> dict[str, Any]:
    """One variant and one seed; accuracies, and the held-out figures of pre-training before and after."""
    started, switches = time.perf_counter(), VARIANTS[variant]
    folder = arguments.output / arguments.data / f"{file_name(variant)}-{seed}"
    recipe = replace(base, model=base.model | (switches or {}), training=base.training | {"seed": seed})
    set_seed(seed)
    result: dict[str, Any] = {"variant": variant, "seed": seed}
    if switches is None:
        model = LxmertForQuestionAnswering(recipe.config(data))
    else:
        pretrained, _ = recipe.model_for(data)
        task = recipe.task(data)
        start = PretrainingStart.of(pretrained, task, recipe.settings(folder / "pretraining"))
        result["before"], result["trivial"] = start.figures, start.trivial
        result["history"] = train(
            pretrained, task, recipe.settings(folder / "pretraining", save_state_every=None)
        ).history
        set_seed(seed)  # the answer head, where pre-training had none
        model = LxmertForQuestionAnswering.from_pretrained(folder / "pretraining" / "last")
    result["seconds_of_pretraining"] = time.perf_counter() - started
    result |= finetune(arguments.data, arguments.folder, data, model, seed, folder)
    result["seconds"] = time.perf_counter() - started
    return result


def finetune(
    kind: str, source: Path | None, data: PretrainingData, model: LxmertForQuestionAnswering, seed: int, folder: Path
) -> dict[str, float]:
    """Accuracy on the test split after fine-tuning, of the last checkpoint: nothing is chosen by it."""
    questions: Any = read_easy_vqa() if kind == "easy_vqa" else read_nlvr(source or "")
    settings = dict(FINETUNING[kind])
    examples: list[Question] = questions.training
    if (count := settings.pop("examples")) is not None:
        chosen = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))[:count]
        examples = [examples[i] for i in chosen]
    task = question_answering_task(
        "finetuning", examples, questions.validation[:256], data.processor, data.regions, model.config.label2id
    )
    finetuning = TrainingSettings(folder / "finetuning", **settings, max_gradient_norm=1.0, seed=seed, progress=False)
    train(model, task, finetuning)
    collate = AnswerCollator(data.processor, data.regions, model.config.label2id)
    loader = DataLoader(questions.test, batch_size=256, collate_fn=collate)
    return {"test_accuracy": evaluate_answers(model, loader).accuracy, "finetuning_examples": len(examples)}


def file_name(variant: str) -> str:
    """A variant's name without spaces, colons and commas."""
    return variant.replace(" ", "_").replace(":", "").replace(",", "")


def table(work: Path) -> str:
    """Mean and spread over the seeds of every variant that has runs, as a Markdown table."""
    lines = ["| pre-training | test accuracy, mean | spread (sample standard deviation) | seeds |", "|---|---|---|---|"]
    for variant in VARIANTS:
        files = sorted(work.glob(f"{file_name(variant)}-*.json"))
        figures = [100 * json.loads(file.read_text())["test_accuracy"] for file in files]
        if figures:
            spread = statistics.stdev(figures) if len(figures) > 1 else float("nan")
            each = ", ".join(f"{figure:.1f}" for figure in figures)
            lines.append(f"| {variant} | {statistics.mean(figures):.1f} % | {spread:.1f} | {each} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
