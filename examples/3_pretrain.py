"""Pre-train an LXMERT on the paper's five tasks, as a recipe says; stop it at any time and go on with --resume.

python examples/3_pretrain.py --recipe examples/recipes/small.yaml
torchrun --standalone --nproc_per_node 2 examples/3_pretrain.py --recipe examples/recipes/small.yaml
"""

import argparse
from pathlib import Path

from accelerate import PartialState
from transformers import set_seed

from lxmert.training import PretrainingStart, pretraining_table, read_recipe, train
from lxmert.training.pretraining_report import trivial_loss
from lxmert.visualization import draw_pretraining

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--recipe", type=Path, required=True, help="YAML file: data, model, objectives, training")
parser.add_argument("--data", type=Path, help="folder that the recipe's files lie in")
parser.add_argument("--output", type=Path, help="folder of all that is written (default: runs/ and the recipe's name)")
parser.add_argument("--resume", action="store_true", help="go on from the last saved state in the output folder")
parser.add_argument("--epochs", type=int, help="instead of the recipe's")
parser.add_argument("--seed", type=int, help="instead of the recipe's")
parser.add_argument("--workers", type=int, help="processes that load batches; the result does not depend on it")
parser.add_argument("--log-with", help='a tracker of Accelerate, such as "tensorboard"')
arguments = parser.parse_args()

# 1. The recipe, and what it learns from
changes = {name: getattr(arguments, name) for name in ("epochs", "seed", "workers", "log_with")}
recipe = read_recipe(arguments.recipe, **{name: value for name, value in changes.items() if value is not None})
output = arguments.output or Path("runs") / recipe.name
settings = recipe.settings(output, resume=arguments.resume)
data = recipe.load_data(output, arguments.data)
say = PartialState().print  # once, however many processes there are
say(f"{len(data.training):,} sentences to learn from, {len(data.validation):,} held out, {len(data.answers):,} answers")
if data.report.left_out or data.report.answers_left_out:
    say(data.report)

# 2. The model
set_seed(settings.seed)
model, start_in_words = recipe.model_for(data, arguments.data)
say(f"{model.num_parameters() / 1e6:.1f} million parameters. {start_in_words}")

# 3. Pre-training
task = recipe.task(data)
start = PretrainingStart.of(model, task, settings)
result = train(model, task, settings)

# 4. What was learned
table = pretraining_table(start, result.history[-1])
if PartialState().is_main_process:
    (output / "report.md").write_text(f"{table}\n\n{data.report}\n")
    trivial = {name: loss for name, figures in start.trivial.items() if (loss := trivial_loss(figures)) is not None}
    draw_pretraining(result.history, output / "losses.png", start.figures, trivial)
say(f"\n{table}\n\n{data.report}")
say(f"Checkpoints: {result.best} (lowest held-out loss) and {result.last}. Picture: {output / 'losses.png'}")
