"""Write a finished run of benchmarks/nlvr.py as a checkpoint that answers sentences about pictures, with its card.

    python benchmarks/nlvr_release.py "runs/nlvr/share 1/whole_recipe_1" checkpoints/nlvr --data NLVR_FOLDER

The weights are bfloat16 and hold the grounding head; the processor finds regions in pictures by itself.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from huggingface_hub import ModelCard, ModelCardData
from nlvr_training import BATCH_SIZE, BATCHES, SETTINGS
from transformers import BertTokenizer

from lxmert import LxmertForPreTraining, LxmertProcessor
from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.training import show_plain_errors
from lxmert.training.nlvr import read_nlvr
from lxmert.training.training_data_card import FIELD, TrainingData

TEXT = """
# LXMERT on NLVR v1

A small LXMERT ({parameters:.1f} million parameters) that says whether an English sentence is true of a picture of three
boxes with squares, circles and triangles (Cornell NLVR, Suhr et al. 2017). It finds the regions in the picture itself.

## How to use it

With the package `lxmert`:

```python
from lxmert import LxmertForQuestionAnswering, LxmertProcessor

folder = "checkpoints/nlvr"
model, processor = LxmertForQuestionAnswering.from_pretrained(folder), LxmertProcessor.from_pretrained(folder)
inputs = processor(text="There is a box with two yellow circles.", images="picture.png", return_tensors="pt")
print(model.config.id2label[model(**inputs).logits.argmax(-1).item()])
```

With transformers alone, from a copy that `examples/7_publish_to_hub.py` made, code included (read it first, it runs on
your machine):

```python
from transformers import pipeline

answer = pipeline("visual-question-answering", model="YOUR_NAME/lxmert-nlvr", trust_remote_code=True)
print(answer(image="picture.png", question="There is a box with two yellow circles."))
```

With transformers' own LXMERT, which finds no regions: bring features and boxes of the same extractor.

```python
import torch
from transformers import BertTokenizer, LxmertForQuestionAnswering

folder = "checkpoints/nlvr"
model = LxmertForQuestionAnswering.from_pretrained(folder, dtype=torch.float32)
tokenizer = BertTokenizer.from_pretrained(folder)
features = torch.zeros(1, 36, {width})  # (1, R, {width}), of your regions
boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 36, 4)  # x1, y1, x2, y2 as shares of the image
inputs = tokenizer("There is a box with two yellow circles.", return_tensors="pt")
inputs |= {{"visual_feats": features, "visual_pos": boxes}}
print(model.config.id2label[model(**inputs).question_answering_score.argmax(-1).item()])
```

## Figures

Development split, which was never learned from and chose nothing; accuracy / consistency:

| regions | dev |
|---|---|
| from the PNG files | {images} |
| from the structured representation | {structured} |

These are the figures of the run's float32 weights; to round them to bfloat16, as they lie here, changes an answer or
two of 989. It is one run (seed {seed}); means over seeds and the ablation are in the project's docs/results.md.

## How it learned

1. Pre-training on {samples:.1f} million pairs of sentences and scenes whose truth is computed: sentences of the
   training split and recombinations of their phrases, read by a hand-written grammar, on drawn scenes and those of the
   training split. Targets: whether the sentence is true, which regions each phrase means, how many they are.
2. Fine-tuning on 72 of the 80 training directories, with regions from the representation and from the PNG files;
   the other 8 chose the epoch.

The grammar was written after reading sentences of those 72 directories. It plays the part that lexicons play in
semantic parsers, so compare figures with theirs, not with those of models that see sentences and labels alone.

## What it is for, and what not

For showing how a vision-and-language model reads a sentence, and for tests. It knows the shapes, colours and words of
NLVR, and no photographs. Shapes of other sizes or colours than NLVR's, and words that its sentences do not have, give
answers that mean nothing. The grounding head (`LxmertForPreTraining`) says which regions a word means.

## Licences

The weights are under Apache-2.0. They learned from Cornell NLVR, which is under CC-BY-4.0:
Alane Suhr, Mike Lewis, James Yeh, Yoav Artzi: A Corpus of Natural Language for Visual Reasoning, ACL 2017.
LXMERT: Hao Tan, Mohit Bansal: LXMERT: Learning Cross-Modality Encoder Representations from Transformers, EMNLP 2019.
"""


def main() -> None:
    """Load, convert, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("output", type=Path, help="folder of the checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dev/")
    arguments = parser.parse_args()
    show_plain_errors()

    source = arguments.run / "finetuning" / "best"
    model = LxmertForPreTraining.from_pretrained(source)
    figures = json.loads((arguments.run / "figures.json").read_text())
    nlvr = read_nlvr(arguments.data)
    parts = [TrainingData.of("nlvr", name, getattr(nlvr, name)) for name in ("training", "validation")]
    text = TEXT.format(
        parameters=model.num_parameters() / 1e6,
        width=model.config.visual_feat_dim,
        seed=figures["seed"],
        samples=BATCHES * BATCH_SIZE * len(figures["pretraining"]) / 1e6,
        **{setting: shown(figures[f"dev, {setting}"]) for setting in SETTINGS},
    )
    model.to(torch.bfloat16).save_pretrained(arguments.output)
    # What most will load: the answer head. The file's other heads are left behind without a word then.
    config = json.loads((arguments.output / "config.json").read_text())
    config["architectures"] = ["LxmertForQuestionAnswering"]
    (arguments.output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = BertTokenizer.from_pretrained(source)
    LxmertProcessor(tokenizer, DrawnBoxesRegionExtractor()).save_pretrained(arguments.output)
    metadata = ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="lxmert",
        pipeline_tag="visual-question-answering",
        datasets=["nlvr"],
        tags=["lxmert", "nlvr"],
        **{FIELD: [asdict(part) for part in parts]},
    )
    ModelCard(f"---\n{metadata.to_yaml()}\n---\n{text}").save(arguments.output / "README.md")
    print("\n".join(f"{file.stat().st_size:>12,}  {file}" for file in sorted(arguments.output.iterdir())))


def shown(figures: dict[str, float]) -> str:
    """Accuracy / consistency in percent."""
    return " / ".join(f"{100 * figures[name]:.1f} %" for name in ("accuracy", "consistency"))


if __name__ == "__main__":
    main()
