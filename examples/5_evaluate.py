"""Judge a checkpoint, or a file of answers, on a split of a task; writes figures, answers and pictures.

python examples/5_evaluate.py --task easy_vqa --checkpoint runs/finetune_easy_vqa/best
python examples/5_evaluate.py --task nlvr2 --split dev --data NLVR2_FOLDER --regions STORE --checkpoint CHECKPOINT
python examples/5_evaluate.py --task vqa --data VQA_FOLDER --predictions answers.json
torchrun --standalone --nproc_per_node 2 examples/5_evaluate.py --task easy_vqa --checkpoint CHECKPOINT
"""

import argparse
from pathlib import Path

from lxmert import LxmertProcessor
from lxmert.evaluation import read_submission
from lxmert.processing import read_answer_list
from lxmert.training import TASKS, FineTuningRecipe, sections, warn_if_trained_on

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
add = parser.add_argument
add("--task", choices=TASKS, required=True, help="; ".join(f"{name}: {task.title}" for name, task in TASKS.items()))
judged = parser.add_mutually_exclusive_group(required=True)
judged.add_argument("--checkpoint", help="LXMERT: folder, or name on the Hub")
judged.add_argument("--predictions", type=Path, help="file of answers in the task's official form")
add("--split", help="of the task, or a file of questions (default: the task's)")
add("--data", type=Path, help="folder that the task's files lie in")
add("--images", dest="data.images", metavar="FOLDER", help="of the pictures")
add("--column", dest="data.columns", nargs="+", metavar="NAME=COLUMN", help="my_dataset: image=... question=... answer=...")
add("--regions", dest="regions.files", nargs="+", metavar="STORE_OR_TSV", help="instead of finding them in pictures")
add("--extractor", dest="regions.extractor", metavar="NAME", help="grid, faster_rcnn, ... (default: the checkpoint's)")
add("--extractor-checkpoint", dest="regions.checkpoint", metavar="NAME", help="of its network: folder or Hub name")
add("--answers", type=Path, help="list of the checkpoint's answers, if it has no labels")
add("--withhold", choices=("image", "question"), help="judge the model without it: an ablation")
add("--batch-size", type=int, default=256, help="questions in a batch (default: 256)")
add("--workers", type=int, default=0, help="processes that load batches (default: 0)")
add("--output", type=Path, help="folder of all that is written (default: runs/evaluate_ and the task)")
arguments = parser.parse_args()

# 1. The questions
task = TASKS[arguments.task]
split = arguments.split or task.test_split or task.validation_splits[0]
recipe = FineTuningRecipe("evaluation", arguments.task, **filled(sections(arguments)))
output = arguments.output or Path("runs") / f"evaluate_{arguments.task}"

# 2. Their answers, by a model or out of a file
if arguments.predictions:
    questions = recipe.read(split, output, arguments.data)
    answers = read_submission(arguments.predictions, task.submission, questions.questions)
    print(task.figures(questions.questions, answers))
    raise SystemExit
model = task.head.from_pretrained(arguments.checkpoint)
if arguments.answers:
    model.name_answers(read_answer_list(arguments.answers))
processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
found, regions = recipe.load_split(split, output, arguments.data, processor.region_extractor)
warn_if_trained_on(arguments.checkpoint, task.name, split, found.questions)
