"""Load the demo's model as any user would, ask it about PNG files, and report. Last part of the demo."""

import argparse
import json
import random
import time
from pathlib import Path

from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

import lxmert  # noqa: F401  (registers LXMERT with the Auto classes)
from lxmert.training import read_easy_vqa
from lxmert.visualization import answer_questions, draw_answers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder that 0_demo_train.py wrote")
parser.add_argument("--seed", type=int, default=3, help="chooses the questions")
arguments = parser.parse_args()

started = time.perf_counter()
model = AutoModelForVisualQuestionAnswering.from_pretrained(arguments.output / "model", attn_implementation="eager")
processor = AutoProcessor.from_pretrained(arguments.output / "model")

data = read_easy_vqa()
random.seed(arguments.seed)
shuffled = random.sample(data.test, len(data.test))
yes_or_no = {example.text: example for example in shuffled if example.answer in ("yes", "no")}
others = {example.answer: example for example in shuffled if example.answer not in ("yes", "no")}
examples = [*list(yes_or_no.values())[:4], *list(others.values())[:4]]
answered = answer_questions(
    model,
    processor,
    images=[data.images[example.image_id] for example in examples],
    questions=[example.text for example in examples],
    truths=[example.answer for example in examples],
)
print(f"\n{'image':<14}{'question':<48}{'answer':<12}{'probability':>11}   truth")
for example, item in zip(examples, answered, strict=True):
    answer, probability = item.answers[0]
    print(f"{example.image_id + '.png':<14}{item.question:<48}{answer:<12}{probability:>11.1%}   {item.truth}")
report = draw_answers(answered, arguments.output / "report.png", "LXMERT on easy-VQA test images")

metrics_file = arguments.output / "metrics.json"
metrics = json.loads(metrics_file.read_text())
seconds = {name: metrics["seconds"][name] for name in ("regions", "training", "evaluation")}
seconds["answers and report"] = time.perf_counter() - started
seconds["total"] = sum(seconds.values())
metrics_file.write_text(json.dumps(metrics | {"seconds": seconds}, indent=2) + "\n")

print(f"\n{'accuracy on ' + format(metrics['test_questions'], ',') + ' test questions':<44}")
print(f"  {'trained model':<42}{metrics['test_accuracy']:>8.2%}")
print(f"  {'trained model, image withheld':<42}{metrics['question_only_accuracy']:>8.2%}")
print(f"  {'trained model, question withheld':<42}{metrics['image_only_accuracy']:>8.2%}")
print(f"  {'majority answer per question text':<42}{metrics['majority_per_question_accuracy']:>8.2%}")
print("seconds")
for name, value in seconds.items():
    print(f"  {name:<42}{value:>8.1f}")
print(f"\nModel and processor: {arguments.output / 'model'}   Picture: {report}   Figures: {metrics_file}")
