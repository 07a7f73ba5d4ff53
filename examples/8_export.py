"""Write a question-answering checkpoint for ONNX Runtime or OpenVINO, and compare it with PyTorch.

python examples/8_export.py checkpoints/nlvr runs/exported --format openvino --halves
python examples/8_export.py checkpoints/nlvr runs/exported --check picture.png "There is a yellow circle."
"""

import argparse
from pathlib import Path

import torch

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.engines import FORMATS, ExportedLxmert, export
from lxmert.training import show_plain_errors

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("checkpoint", help="folder, or name on the Hub")
parser.add_argument("folder", type=Path, help="gets the graphs, the configuration and the processor")
parser.add_argument("--format", choices=FORMATS, default="onnx", help="(default: onnx)")
parser.add_argument("--halves", action="store_true", help="regions encoder and rest apart: one image, many questions")
precisions = ("float32", "float16", "int8")
parser.add_argument("--precision", choices=precisions, default="float32", help="float16: OpenVINO (default: float32)")
parser.add_argument("--check", nargs=2, metavar=("PICTURE", "QUESTION"), help="answer it with PyTorch and the export")
arguments = parser.parse_args()
show_plain_errors()

# 1. Export
model = LxmertForQuestionAnswering.from_pretrained(arguments.checkpoint, dtype=torch.float32)
processor = LxmertProcessor.from_pretrained(arguments.checkpoint)
parts = ("regions", "rest") if arguments.halves else ("whole",)
record = export(model, arguments.folder, arguments.format, parts, arguments.precision, processor)
graphs = [
    file for part in record.parts for file in sorted(arguments.folder.glob(f"{part}.*")) if file.suffix != ".json"
]
for file in graphs:
    print(f"{file.stat().st_size / 1e6:8.2f} MB  {file}")

# 2. Load it as a program would that serves answers, and compare
exported = ExportedLxmert.from_folder(arguments.folder)
if arguments.check:
    picture, question = arguments.check
    inputs = processor(text=question, images=picture, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits
    logits = exported(**inputs).logits
    for name, scores in (("PyTorch", expected), (record.format, logits)):
        probability, answer = scores[0].softmax(-1).max(-1)
        print(f"{probability.item():8.2%}  {model.config.id2label[answer.item()]}  ({name})")
    print(f"Largest difference of a logit: {(logits - expected).abs().max().item():.1e}")
