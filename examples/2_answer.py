"""Answer a question about a picture: 2_answer.py IMAGE QUESTION [--checkpoint FOLDER_OR_HUB_NAME]."""

import argparse
from pathlib import Path

from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

import lxmert  # noqa: F401  (registers LXMERT with the Auto classes)
from lxmert.visualization import answer_questions, draw_answers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("image", help="a picture file")
parser.add_argument("question", help="in the language that the model was trained on")
parser.add_argument("--checkpoint", default="runs/demo/model", help="folder, or name on the Hub; make demo makes one")
parser.add_argument("--top", type=int, default=5, help="number of answers")
parser.add_argument("--picture", type=Path, help="draw the regions by attention and the answers' bars to this file")
arguments = parser.parse_args()

model = AutoModelForVisualQuestionAnswering.from_pretrained(arguments.checkpoint, attn_implementation="eager")
processor = AutoProcessor.from_pretrained(arguments.checkpoint)
answered = answer_questions(model, processor, [arguments.image], [arguments.question], top_k=arguments.top)
for answer, probability in answered[0].answers:
    print(f"{probability:7.2%}  {answer}")
if arguments.picture:
    print(draw_answers(answered, arguments.picture, arguments.question, columns=1))
