"""Show what an answer rests on: a page to explore, and figures for a paper.

python examples/6_visualize.py docs/images/three_boxes.png "There is a blue square." --checkpoint checkpoints/nlvr
"""

import argparse
from pathlib import Path

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import make_extractor
from lxmert.processing import read_answer_list
from lxmert.training import show_plain_errors
from lxmert.visualization import (
    METHODS,
    draw_region_graph,
    draw_relevance,
    draw_word_attention,
    explain,
    write_explorer,
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("image", help="a picture file")
parser.add_argument("question", help="in the language that the model was trained on")
parser.add_argument("--checkpoint", default="runs/demo/model", help="folder, or name on the Hub (default: make demo's)")
parser.add_argument("--explain", nargs="+", metavar="ANSWER", help="answers to explain (default: the three likeliest)")
parser.add_argument("--method", nargs="+", choices=METHODS, default=METHODS, help="of relevance (default: all)")
parser.add_argument("--answers", type=Path, help="list of the checkpoint's answers, if it has no labels")
parser.add_argument("--extractor", help="of regions, such as faster_rcnn, if the checkpoint's processor has none")
parser.add_argument("--extractor-checkpoint", help="folder, or name on the Hub, of the extractor's network")
parser.add_argument("--format", choices=("png", "svg", "pdf"), default="png", help="of figures (default: png)")
parser.add_argument("--output", type=Path, default=Path("runs/visualize"), help="folder (default: %(default)s)")
arguments = parser.parse_args()
show_plain_errors()

model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint)
if arguments.answers:
    model.name_answers(read_answer_list(arguments.answers))
processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
if arguments.extractor:
    extractor = make_extractor(arguments.extractor, arguments.extractor_checkpoint)
    processor = LxmertProcessor(processor.tokenizer, extractor)

explanation = explain(
    model,
    processor,
    arguments.image,
    arguments.question,
    answers=arguments.explain,
    methods=arguments.method,
)
for answer, probability in explanation.answers[:5]:
    print(f"{probability:7.2%}  {answer}")

figures = {"relevance": draw_relevance, "region_graph": draw_region_graph, "word_attention": draw_word_attention}
if len(explanation.regions) == 1:
    del figures["region_graph"]  # no other that it could look at
for name, draw in figures.items():
    print(draw(explanation, arguments.output / f"{name}.{arguments.format}"))
print(explanation.record.save(arguments.output / "attention.npz"))
print(write_explorer(explanation, arguments.output / "explorer.html"), "- open it in a browser")
