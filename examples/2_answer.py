"""Answer a question about a picture: 2_answer.py IMAGE QUESTION [--checkpoint FOLDER_OR_HUB_NAME]."""

import argparse
from pathlib import Path

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import make_extractor
from lxmert.processing import read_answer_list
from lxmert.training import show_plain_errors
from lxmert.visualization import answer_questions, draw_answers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("image", help="a picture file")
parser.add_argument("question", help="in the language that the model was trained on")
parser.add_argument("--checkpoint", default="runs/demo/model", help="folder, or name on the Hub; make demo makes one")
parser.add_argument("--answers", type=Path, help="list of the checkpoint's answers, if it has no labels")
parser.add_argument("--extractor", help="of regions, such as faster_rcnn, if the checkpoint's processor has none")
parser.add_argument("--extractor-checkpoint", help="folder, or name on the Hub, of the extractor's network")
parser.add_argument("--top", type=int, default=5, help="number of answers")
parser.add_argument("--picture", type=Path, help="draw the regions by attention and the answers' bars to this file")
arguments = parser.parse_args()
show_plain_errors()

model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint, attn_implementation="eager")
if arguments.answers:
    model.name_answers(read_answer_list(arguments.answers))
processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
if arguments.extractor:
    extractor = make_extractor(arguments.extractor, arguments.extractor_checkpoint)
    processor = LxmertProcessor(processor.tokenizer, extractor)
answered = answer_questions(model, processor, [arguments.image], [arguments.question], top_k=arguments.top)
for answer, probability in answered[0].answers:
    print(f"{probability:7.2%}  {answer}")
if arguments.picture:
    print(draw_answers(answered, arguments.picture, arguments.question, columns=1))
