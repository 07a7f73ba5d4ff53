"""Which method finds what a model's answers rest on, and how much it uses the image and the question.

python examples/6_compare_explanations.py --task easy_vqa --checkpoint runs/demo/model
python examples/6_compare_explanations.py --task nlvr --checkpoint checkpoints/nlvr --data NLVR_FOLDER
"""

import argparse
import random
from pathlib import Path

import numpy as np

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.training import TASKS, AnswerCollator, FineTuningRecipe, sections, show_plain_errors
from lxmert.visualization import ablate_modalities, draw_perturbation, modality_shares, perturbation_test

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
add = parser.add_argument
add("--task", choices=[name for name, task in TASKS.items() if task.head is LxmertForQuestionAnswering], required=True)
add("--checkpoint", required=True, help="folder, or name on the Hub")
add("--split", help="of the task, or a file of questions (default: the task's)")
add("--data", type=Path, help="folder that the task's files lie in")
add("--images", dest="data.images", metavar="FOLDER", help="of the pictures")
add("--regions", dest="regions.files", nargs="+", metavar="STORE_OR_TSV", help="instead of finding them in pictures")
add("--questions", type=int, default=1000, help="so many, drawn at random (default: %(default)s)")
add("--shapley-questions", type=int, default=100, help="so many of these, for Shapley values (default: %(default)s)")
add("--batch-size", type=int, default=64, help="(default: %(default)s)")
add("--seed", type=int, default=1, help="of the draw and of random orders (default: %(default)s)")
add("--output", type=Path, help="folder of all that is written (default: runs/explanations_ and the task)")
arguments = parser.parse_args()
if min(arguments.questions, arguments.shapley_questions, arguments.batch_size) < 1:
    parser.error("--questions, --shapley-questions and --batch-size must be at least 1")
show_plain_errors()

# 1. Questions and their regions, as batches
task = TASKS[arguments.task]
output = arguments.output or Path("runs") / f"explanations_{arguments.task}"
model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint, attn_implementation="eager").eval()
processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
recipe = FineTuningRecipe("explanations", arguments.task, **sections(arguments))
split = arguments.split or task.default_split
asked, regions = recipe.load_split(split, output, arguments.data, processor.region_extractor)
rows = random.Random(arguments.seed).sample(range(len(asked.questions)), min(arguments.questions, len(asked.questions)))
collate = AnswerCollator(processor, regions, model.config.label2id, targets=task.targets, unknown_answers="ignore")


def batches(chosen: list[int]) -> list[dict]:
    """Of so many questions each; a last one alone, which could not swap its image, joins those before it."""
    cuts = range(arguments.batch_size, len(chosen) - 1, arguments.batch_size)
    return [collate([asked.questions[int(row)] for row in part]) for part in np.split(np.array(chosen), cuts)]


# 2. Words and regions are removed in the order of each method
result = perturbation_test(model, batches(rows), seed=arguments.seed)
print(f"Areas under the curves, %, {result.pairs:,} questions of {task.title}, {split}:")
print((100 * result.table()).round(1).to_string())
print(draw_perturbation(result, output / "perturbation.png", f"{task.title}, {split}: {result.pairs:,} questions"))
result.table().to_csv(output / "areas.csv")

# 3. Image or question are withheld
ablation = ablate_modalities(model, batches(rows))
print(ablation.table().round(3).to_string(index=False))
print("What each adds to the accuracy:", {name: round(value, 3) for name, value in ablation.shapley().items()})
ablation.table().to_csv(output / "modalities.csv", index=False)
shares = [
    modality_shares(model, batch, seed=arguments.seed, progress=True).question_share
    for batch in batches(rows[: arguments.shapley_questions])
]
question = float(np.nanmean(np.concatenate(shares)))
print(f"Shares of the Shapley values of single words and regions: question {question:.1%}, image {1 - question:.1%}")
