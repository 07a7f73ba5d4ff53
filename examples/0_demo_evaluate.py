"""Measure the demo's model on the whole test split, and with each of its inputs withheld. Second part of the demo."""

import argparse
import json
import time
from pathlib import Path

from torch.utils.data import DataLoader
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

import lxmert  # noqa: F401  (registers LXMERT with the Auto classes)
from lxmert.evaluation import majority_per_question_accuracy
from lxmert.processing import RegionStore
from lxmert.training import AnswerCollator, evaluate_answers, read_easy_vqa

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder that 0_demo_train.py wrote")
parser.add_argument("--questions", type=int, default=None, help="use so many questions instead of all")
arguments = parser.parse_args()

started = time.perf_counter()
model = AutoModelForVisualQuestionAnswering.from_pretrained(arguments.output / "model")
processor = AutoProcessor.from_pretrained(arguments.output / "model")
store = RegionStore(arguments.output / "regions")
data = read_easy_vqa(questions=arguments.questions)

metrics = json.loads((arguments.output / "metrics.json").read_text())
for name, withhold in (("test", None), ("question_only", "image"), ("image_only", "question")):
    collate = AnswerCollator(processor, store, model.config.label2id, withhold)
    loader = DataLoader(data.test, batch_size=256, collate_fn=collate)
    description = f"Evaluating, {withhold} withheld" if withhold else "Evaluating"
    metrics[f"{name}_accuracy"] = evaluate_answers(model, loader, description=description).accuracy
training, testing = ([(example.text, example.answer) for example in part] for part in (data.training, data.test))
metrics["majority_per_question_accuracy"] = majority_per_question_accuracy(training, testing)
metrics["test_questions"] = len(data.test)
metrics["seconds"]["evaluation"] = time.perf_counter() - started
(arguments.output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
