"""Publish a checkpoint, or a region store, on the Hub: look at what would be sent first, then say --send.

python examples/7_publish_to_hub.py runs/finetune_gqa/best someone/lxmert-gqa --license apache-2.0
python examples/7_publish_to_hub.py runs/finetune_gqa/best someone/lxmert-gqa --license apache-2.0 --private --send
python examples/7_publish_to_hub.py runs/regions someone/my-regions --license cc-by-4.0 --send

Without --send nothing leaves this machine; what is made for the page lies in runs/publish then. Sending needs a token
of the Hub: hf auth login. All of it is one commit, whole or absent.

A README.md in the folder that you edited is published as it is; delete it to have the card made anew.
"""

import argparse
from pathlib import Path

from lxmert.hub import CardDetails, TrainingCost, license_of, publish, publish_space
from lxmert.training import show_plain_errors

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
add = parser.add_argument
add("folder", type=Path, help="a checkpoint such as runs/finetune_gqa/best, or a region store")
add("repo_id", help="name on the Hub: OWNER/NAME")
add("--send", action="store_true", help="publish; without it, only look")
add("--private", action="store_true", help="make a private repository")
add("--update", action="store_true", help="add a commit to a repository that holds something already")
add("--force", action="store_true", help="replace a card on the Hub that a person edited")
add(
    "--license", help="of the weights or regions, as the Hub names it: apache-2.0, cc-by-4.0, ... (default: the card's)"
)
add("--space", metavar="OWNER/NAME", help="publish a Space for the model, too, in which visitors ask it")
add("--title", help="headline of the page (default: of the run's tasks)")
add("--language", default="en", help="of questions and answers (default: en)")
add("--example", nargs=2, action="append", default=[], metavar=("PICTURE", "QUESTION"), help="shown with its answer")
add("--evaluation", action="append", default=[], metavar="FOLDER", help="that examples/5_evaluate.py wrote; may repeat")
add("--dataset", metavar="OWNER/NAME", help="the data set of the figures, if it is on the Hub")
add("--benchmark", metavar="OWNER/NAME[:TASK]", help="data set on the Hub whose leaderboard gets the first figure")
for name, what in (("intended-use", "what it is for"), ("limits", "what it cannot do"), ("bias", "what it repeats")):
    add(f"--{name}", type=Path, metavar="FILE", help=f"Markdown: {what} (default: a general text)")
add("--hours", type=float, help="that training took")
add("--hardware", help='that it ran on, such as "1 NVIDIA H200"')
add("--watts", type=float, help="mean draw of the hardware")
add("--grams-per-kwh", type=float, help="CO2 equivalent of the electricity")
add("--prepared", type=Path, help="folder for what is made for the page (default: runs/publish/NAME)")
arguments = parser.parse_args()
show_plain_errors()

texts = {name: getattr(arguments, name) for name in ("intended_use", "limits", "bias")}
details = CardDetails(
    arguments.license or license_of(arguments.folder),
    arguments.title,
    arguments.language,
    arguments.dataset,
    arguments.benchmark,
    **{name: file.read_text(encoding="utf-8") for name, file in texts.items() if file is not None},
    cost=TrainingCost(arguments.hours, arguments.hardware, arguments.watts, arguments.grams_per_kwh),
)
prepared = arguments.prepared or Path("runs/publish") / arguments.repo_id.split("/")[-1]
chosen = {name: getattr(arguments, name) for name in ("private", "update", "force")}
shown = {"examples": arguments.example, "evaluations": arguments.evaluation}
space = [arguments.space, arguments.repo_id, details, arguments.example]
if arguments.space:  # what a Space lacks is told before the model is sent
    page = publish_space(*space, prepared=prepared / "space", **chosen)
dry_run = not arguments.send
print(publish(arguments.folder, arguments.repo_id, details, **shown, **chosen, dry_run=dry_run, prepared=prepared))
if arguments.space:
    print(page if dry_run else publish_space(*space, prepared=prepared / "space", **chosen, dry_run=False))
print(f"Made for the page: {prepared}")
