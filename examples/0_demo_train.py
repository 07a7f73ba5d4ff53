"""Train a small LXMERT on easy-VQA, evaluate it on the whole test split and save it.

First half of `make demo`; `0_demo_answer.py` is the second.
"""

import argparse
import json
import random
import time
from pathlib import Path

from torch.utils.data import DataLoader
from transformers import set_seed

from lxmert import ComponentRegionExtractor, LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import extract_regions
from lxmert.evaluation import majority_per_question_accuracy
from lxmert.processing import train_wordpiece_tokenizer
from lxmert.training import (
    AnswerCollator,
    TrainingSettings,
    evaluate_answers,
    question_answering_task,
    read_easy_vqa,
    train,
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder of all that is written")
parser.add_argument("--epochs", type=int, default=4, help="passes over the training questions")
parser.add_argument("--questions", type=int, default=None, help="use so many questions of each split instead of all")
parser.add_argument("--seed", type=int, default=1, help="of the first weights and of the order of questions")
arguments = parser.parse_args()
output, seconds = arguments.output, {}
set_seed(arguments.seed)

clock = time.perf_counter()
data = read_easy_vqa()
if arguments.questions is not None:
    parts = (data.training, data.validation, data.test)
    data.training[:], data.validation[:], data.test[:] = (random.sample(part, arguments.questions) for part in parts)
extractor = ComponentRegionExtractor()
store, reused = extract_regions(data.images, extractor, output / "regions")
print(f"Regions of {len(store)} images {'reused from' if reused else 'stored in'} {output / 'regions'}")
seconds["regions"] = time.perf_counter() - clock

clock = time.perf_counter()
tokenizer = train_wordpiece_tokenizer([example.question for example in data.training], model_max_length=20)
processor = LxmertProcessor(tokenizer, extractor)
config = LxmertConfig(
    vocab_size=len(tokenizer),
    hidden_size=128,
    num_attention_heads=4,
    intermediate_size=256,
    l_layers=2,
    r_layers=2,
    x_layers=2,
    hidden_dropout_prob=0,
    attention_probs_dropout_prob=0,
    visual_feat_dim=extractor.feature_dim,
    max_position_embeddings=20,
    id2label=dict(enumerate(data.answers)),
)
model = LxmertForQuestionAnswering(config)
print(f"Model of {model.num_parameters():,} parameters, {len(data.training):,} training questions")
task = question_answering_task("easy-VQA", data.training, data.validation, processor, store, config.label2id)
rates = {"batch_size": 128, "learning_rate": 1e-3, "max_gradient_norm": 1.0, "seed": arguments.seed}
result = train(model, task, TrainingSettings(output / "training", epochs=arguments.epochs, **rates))
seconds["training"] = time.perf_counter() - clock

clock = time.perf_counter()
model = LxmertForQuestionAnswering.from_pretrained(result.best)
model.save_pretrained(output / "model")
processor.save_pretrained(output / "model")
metrics = {}
for name, withhold in (("test", None), ("question_only", "image"), ("image_only", "question")):
    collate = AnswerCollator(processor, store, config.label2id, withhold)
    loader = DataLoader(data.test, batch_size=256, collate_fn=collate)
    metrics[f"{name}_accuracy"] = evaluate_answers(model, loader, description=f"Evaluating {name}").accuracy
pairs = [[(example.question, example.answer) for example in part] for part in (data.training, data.test)]
metrics["majority_per_question_accuracy"] = majority_per_question_accuracy(*pairs)
metrics["test_questions"] = len(data.test)
seconds["evaluation"] = time.perf_counter() - clock
(output / "metrics.json").write_text(json.dumps(metrics | {"seconds": seconds}, indent=2) + "\n")
