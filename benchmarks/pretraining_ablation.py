"""The paper's ablation of its pre-training tasks, on data that trains in minutes: pre-train, fine-tune, test.

For every variant and seed: pre-train without some of the tasks (section 5.2 and 5.3 of the paper), fine-tune on
questions with answers, measure on the test split. Finished runs are kept in OUTPUT and not repeated; seeds can run
side by side:

    python benchmarks/pretraining_ablation.py --data easy_vqa --seeds 1 2 3
    python benchmarks/pretraining_ablation.py --data nlvr --folder ../shared/data/nlvr --seeds 1 2 3
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import set_seed

from lxmert import LxmertForPreTraining, LxmertForQuestionAnswering
from lxmert.training import (
    QuestionExample,
    TrainingSettings,
    evaluate_answers,
    question_answering_task,
    read_easy_vqa,
    read_nlvr,
    train,
)
from lxmert.training.collator import AnswerCollator
from lxmert.training.pretraining import measure_pretraining
from lxmert.training.pretraining_data import PretrainingData
from lxmert.training.recipe import PretrainingRecipe
from lxmert.training.trivial_predictors import batches_of, trivial_predictors

VARIANTS: dict[str, dict[str, bool] | None] = {
    "no pre-training": None,
    "all tasks": {},
    "without question answering": {"task_qa": False},
    "without vision tasks": {"task_obj_predict": False},
    "vision: features only": {"visual_obj_loss": False, "visual_attr_loss": False},
    "vision: labels only": {"visual_feat_loss": False},
    "without matching": {"task_matched": False},
    "without masked words": {"task_mask_lm": False},
}
MODEL = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "l_layers": 1,
    "r_layers": 1,
    "x_layers": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.05,
}
PRETRAINING = {"batch_size": 128, "learning_rate": 1e-3, "max_gradient_norm": 1.0, "progress": False}
# Few questions with answers, as in real life; all of NLVR's are few.
FINETUNING = {
    "easy_vqa": {"examples": 500, "epochs": 60, "batch_size": 64, "learning_rate": 5e-4},
    "nlvr": {"examples": None, "epochs": 4, "batch_size": 64, "learning_rate": 3e-4},
}


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(FINETUNING), required=True)
    parser.add_argument("--folder", type=Path, help="of NLVR: holds train/ and dev/")
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS)[:6])
    parser.add_argument("--epochs", type=int, default=3, help="of pre-training")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    work = arguments.output / arguments.data
    work.mkdir(parents=True, exist_ok=True)
    settings = {} if arguments.folder is None else {"folder": str(arguments.folder)}
    base = PretrainingRecipe("ablation", {arguments.data: settings}, MODEL, training=PRETRAINING, max_length=32)
    data = base.load_data(work)
    for seed in arguments.seeds:
        for variant in arguments.variants:
            file = work / f"{variant.replace(' ', '_').replace(':', '')}-{seed}.json"
            if not file.is_file():
                file.write_text(json.dumps(run(arguments, data, variant, seed, work), indent=2))
            print(f"{variant}, seed {seed}: {json.loads(file.read_text())['test_accuracy']:.4f}", flush=True)
    print(table(work))


def run(arguments: argparse.Namespace, data: PretrainingData, variant: str, seed: int, work: Path) -> dict[str, Any]:
    """One variant and one seed; accuracies, and the held-out figures of pre-training before and after."""
    started, switches = time.perf_counter(), VARIANTS[variant]
    folder = work / f"{variant.replace(' ', '_').replace(':', '')}-{seed}"
    training = PRETRAINING | {"epochs": arguments.epochs, "seed": seed}
    recipe = PretrainingRecipe(
        "ablation",
        {arguments.data: {"folder": "."} if arguments.folder else {}},
        MODEL | (switches or {}),
        training=training,
        max_length=32,
    )
    set_seed(seed)
    result: dict[str, Any] = {"variant": variant, "seed": seed}
    if switches is None:
        model = LxmertForQuestionAnswering(recipe.config(data))
    else:
        pretrained, _ = recipe.model_for(data)
        task = recipe.task(data)
        if variant == "all tasks":
            result["before"] = measure(pretrained, task)
            result["trivial"] = trivial_predictors(
                pretrained.config, batches_of(task.training, task.collate), batches_of(task.validation, task.collate)
            )
        result["history"] = train(pretrained, task, recipe.settings(folder / "pretraining")).history
        set_seed(seed)  # the answer head, where pre-training had none
        model = LxmertForQuestionAnswering.from_pretrained(folder / "pretraining" / "last")
    result["seconds_of_pretraining"] = time.perf_counter() - started
    result |= finetune(arguments.data, arguments.folder, data, model, seed, folder)
    result["seconds"] = time.perf_counter() - started
    return result


def measure(model: LxmertForPreTraining, task: Any) -> dict[str, float]:
    """Figures on the held-out examples."""
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    loader = accelerator.prepare(DataLoader(task.validation, batch_size=256, collate_fn=task.collate))
    return measure_pretraining(model.to(accelerator.device), loader, accelerator)


def finetune(
    kind: str, source: Path | None, data: PretrainingData, model: LxmertForQuestionAnswering, seed: int, folder: Path
) -> dict[str, float]:
    """Accuracy on the test split after fine-tuning, of the last checkpoint: nothing is chosen by it."""
    questions: Any = read_easy_vqa() if kind == "easy_vqa" else read_nlvr(source or "")
    settings = dict(FINETUNING[kind])
    examples: list[QuestionExample] = questions.training
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


def table(work: Path) -> str:
    """Mean and spread over the seeds of every variant that has runs, as a Markdown table."""
    lines = ["| pre-training | test accuracy, mean | spread (sample standard deviation) | seeds |", "|---|---|---|---|"]
    for variant in VARIANTS:
        files = sorted(work.glob(f"{variant.replace(' ', '_').replace(':', '')}-*.json"))
        figures = [100 * json.loads(file.read_text())["test_accuracy"] for file in files]
        if figures:
            spread = statistics.stdev(figures) if len(figures) > 1 else float("nan")
            each = ", ".join(f"{figure:.1f}" for figure in figures)
            lines.append(f"| {variant} | {statistics.mean(figures):.1f} % | {spread:.1f} | {each} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
