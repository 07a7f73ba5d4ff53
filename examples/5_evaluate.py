"""Judge a checkpoint, or a file of answers, on a split of a task; writes figures, answers and pictures.

python examples/5_evaluate.py --task easy_vqa --checkpoint runs/finetune_easy_vqa/best
python examples/5_evaluate.py --task vqa --data VQA_FOLDER --predictions answers.json
"""

import argparse
from pathlib import Path

from lxmert import LxmertProcessor
from lxmert.evaluation import read_submission, write_submission
from lxmert.processing import read_answer_list
from lxmert.training import TASKS, FineTuningRecipe, process_state, sections, show_plain_errors, warn_if_trained_on
from lxmert.visualization import report_answers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
add = parser.add_argument
add("--task", choices=TASKS, required=True, help="of the records in lxmert.training.TASKS")
one_of = parser.add_mutually_exclusive_group(required=True).add_argument
one_of("--checkpoint", help="LXMERT: folder, or name on the Hub")
one_of("--predictions", type=Path, help="file of answers in the task's official form")
add("--split", help="of the task, or a file of questions (default: the task's)")
add("--data", type=Path, help="folder that the task's files lie in")
add("--images", dest="data.images", metavar="FOLDER", help="of the pictures")
add("--column", dest="data.columns", nargs="+", metavar="NAME=COLUMN", help="my_dataset: image=, question=, answer=")
add("--regions", dest="regions.files", nargs="+", metavar="STORE_OR_TSV", help="instead of finding them in pictures")
add("--extractor", dest="regions.extractor", metavar="NAME", help="grid, faster_rcnn, ... (default: the checkpoint's)")
add("--extractor-checkpoint", dest="regions.checkpoint", metavar="NAME", help="of its network: folder or Hub name")
add("--answers", type=Path, help="list of the checkpoint's answers, if it has no labels")
add("--choices", type=Path, help="gqa: the official file of valid and plausible answers")
add("--withhold", choices=("image", "question"), help="judge the model without it: an ablation")
for name, value in (("--batch-size", 256), ("--workers", 0)):
    add(name, type=int, default=value, help=f"of the loader of batches (default: {value})")
add("--output", type=Path, help="folder of all that is written (default: runs/evaluate_ and the task)")
arguments = parser.parse_args()
show_plain_errors()

# 1. The questions
task = TASKS[arguments.task]
split = arguments.split or task.default_split
recipe = FineTuningRecipe("evaluation", arguments.task, **sections(arguments))
output = arguments.output or Path("runs") / f"evaluate_{arguments.task}"
files = {"choices": arguments.choices} if arguments.choices else {}
say = process_state().print  # once, however many processes there are

# 2. Their answers: a model's, or those of a file
model = processor = regions = None
if arguments.predictions:
    asked = recipe.read(split, output, arguments.data)
    judgement = task.judge_answers(asked.questions, read_submission(arguments.predictions, task.submission), **files)
else:
    model = task.head.from_pretrained(arguments.checkpoint)
    if arguments.answers:
        model.name_answers(read_answer_list(arguments.answers))
    processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
    asked, regions = recipe.load_split(split, output, arguments.data, processor.region_extractor)
    warn_if_trained_on(arguments.checkpoint, task.name, split, asked.questions)
    how = (arguments.withhold, arguments.batch_size, arguments.workers)
    judgement = task.judge(model, processor, asked.questions, regions, *how, **files)
say(judgement)

# 3. What is left of it
if process_state().is_main_process and judgement.predictions:
    write_submission(output / task.answers_file, task.submission, judgement.predictions.answers, asked.questions)
    again = (None, None) if arguments.withhold else (model, processor)  # asked for its attention
    shown = (asked.questions, judgement.predictions, judgement.figures, regions, asked.pictures)
    print(f"Answers: {output / task.answers_file}")
    print(f"Report: {report_answers(output, *again, *shown, f'{task.title}, {split}')}")
