"""Fine-tune LXMERT on a task, judge it, and draw what it gets wrong; stop it at any time and go on with --resume.

python examples/4_finetune.py --task easy_vqa
python examples/4_finetune.py --task nlvr --data NLVR_FOLDER
python examples/4_finetune.py --task my_dataset --train questions.csv --images PICTURES

The task's recipe lies in examples/recipes; what is typed goes before what it says.
"""

import argparse
from pathlib import Path

from transformers import set_seed

from lxmert.training import TASKS, process_state, read_finetuning_recipe, sections, show_plain_errors, train
from lxmert.visualization import report_answers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
add = parser.add_argument
add("--task", choices=TASKS, required=True, help="; ".join(f"{name}: {task.title}" for name, task in TASKS.items()))
add("--recipe", type=Path, help="YAML file (default: examples/recipes/finetune_TASK.yaml)")
add("--data", type=Path, help="folder that the task's files lie in")
add("--train", dest="data.training", nargs="+", metavar="SPLIT", help="split, file, or NAME:PART on the Hub")
add("--validation", dest="data.validation", nargs="+", metavar="SPLIT", help="to choose the checkpoint by")
add("--test", dest="data.test", nargs="+", metavar="SPLIT", help="to judge it by (default: the recipe's)")
add("--images", dest="data.images", metavar="FOLDER", help="of the pictures")
add("--column", dest="data.columns", nargs="+", metavar="NAME=COLUMN", help="my_dataset: image=, question=, answer=")
add("--regions", dest="regions.files", nargs="+", metavar="STORE_OR_TSV", help="instead of finding them in pictures")
add("--extractor", dest="regions.extractor", metavar="NAME", help="grid, components, faster_rcnn, ...")
add("--extractor-checkpoint", dest="regions.checkpoint", metavar="NAME", help="of its network: folder or Hub name")
add("--checkpoint", dest="start.checkpoint", metavar="NAME", help="LXMERT to start from: folder or Hub name")
add("--checkpoint-answers", dest="start.answers", metavar="FILE", help="its list of answers, if it has no labels")
add("--answers", dest="answers.file", metavar="FILE", help="to learn (default: those of the training questions)")
add("--withhold", choices=("image", "question"), help="train and judge without it: an ablation")
add("--output", type=Path, help="folder of all that is written (default: runs/ and the recipe's name)")
add("--resume", action="store_true", help="go on from the last saved state in the output folder")
for name, kind in (("epochs", int), ("batch_size", int), ("learning_rate", float), ("seed", int), ("workers", int)):
    add(f"--{name.replace('_', '-')}", dest=f"training.{name}", type=kind, metavar="NUMBER", help="not the recipe's")
arguments = parser.parse_args()
show_plain_errors()

# 1. The recipe, and what it learns from
path = arguments.recipe or Path(__file__).parent / "recipes" / f"finetune_{arguments.task}.yaml"
recipe = read_finetuning_recipe(path, task=arguments.task, withhold=arguments.withhold, **sections(arguments))
output = arguments.output or Path("runs") / recipe.name
data = recipe.load_data(output, arguments.data)
say = process_state().print  # once, however many processes there are
say("\n".join(data.notes))

# 2. The model, and its training
settings = recipe.settings(output, resume=arguments.resume)
set_seed(settings.seed)
model, start_in_words = recipe.model_for(data, arguments.data)
say(f"{model.num_parameters() / 1e6:.1f} million parameters. {start_in_words}")
result = train(model, recipe.task_for(data, arguments.data), settings)

# 3. The best checkpoint, judged
best = recipe.kind.head.from_pretrained(result.best)
questions = data.validation if data.test is None else data.test
judgement = recipe.kind.judge(best, data.processor, questions, data.regions, recipe.withhold)
say(f"{judgement}\nCheckpoint: {result.best}")
if process_state().is_main_process and judgement.predictions:
    asked = None if recipe.withhold else best, None if recipe.withhold else data.processor  # again, for its attention
    shown = (judgement.predictions, judgement.figures, data.regions, data.pictures, recipe.kind.title)
    print(f"Report: {report_answers(output / 'report', *asked, questions, *shown, max_length=recipe.longest)}")
