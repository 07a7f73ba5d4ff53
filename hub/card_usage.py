"""How to use a published model: three snippets, each for what the reader has installed."""

import json
from dataclasses import dataclass

from lxmert.hub.checkpoint import Checkpoint
from lxmert.hub.evaluation_results import TASK_TYPE

QUESTIONS = {
    "LxmertForVisualReasoning": "the left image shows twice as many dogs as the right one",
    "LxmertForImageAndTextRetrieval": "a dog on a beach",
}
# What is read from the output, by the head's class.
READ = {
    "LxmertForQuestionAnswering": "print(model.config.id2label[model(**inputs).logits.argmax(-1).item()])",
    "LxmertForVisualReasoning": "print(model(**inputs).logits.softmax(-1)[0, 1].item())  # probability of true",
    "LxmertForImageAndTextRetrieval": "print(model(**inputs).logits.softmax(-1)[0, 1].item())  # of a match",
    "LxmertForPreTraining": "print(model(**inputs).cross_relationship_score.softmax(-1)[0, 1].item())  # of a match",
}
STOCK_READ = {
    "LxmertForQuestionAnswering": (
        "LxmertForQuestionAnswering",
        "print(model.config.id2label[model(**inputs).question_answering_score.argmax(-1).item()])",
    ),
    "LxmertForPreTraining": (
        "LxmertForPreTraining",
        "print(model(**inputs).cross_relationship_score.softmax(-1)[0, 1].item())  # of a match",
    ),
}
# `Regions` for those who have no package to import it from.
REGIONS_IMPORT = "from transformers.dynamic_module_utils import get_class_from_dynamic_module"
REGIONS_OF_REPOSITORY = 'Regions = get_class_from_dynamic_module("processing_lxmert.Regions", name)'
STOCK_ENCODER = ("LxmertModel", "print(model(**inputs).pooled_output.shape)  # it has no such head, only the encoder")


@dataclass(frozen=True)
class Usage:
    """The snippets of one model.

    Args:
        checkpoint: of the model.
        repo_id: its name on the Hub.
        auto_class: of transformers, that loads the code in the repository; None where there is no code.
    """

    checkpoint: Checkpoint
    repo_id: str
    auto_class: str | None

    def __str__(self) -> str:
        """The section of the card."""
        parts = ["With the package `lxmert`:", _block(self.ours())]
        if self.auto_class is not None:
            parts += [
                "With transformers and the code in this repository (read it first, it runs on your machine):",
                _block(self.remote_code()),
            ]
        parts += [
            "With transformers' own LXMERT, which finds no regions: bring features and boxes of the same detector.",
            _block(self.stock()),
        ]
        return "\n\n".join(parts)

    def ours(self) -> str:
        """With this package."""
        head = self.checkpoint.head
        names = [head, "LxmertProcessor"] + ([] if self.checkpoint.extractor else ["Regions"])
        lines = [f"from lxmert import {', '.join(sorted(names))}", "", f'name = "{self.repo_id}"']
        lines += [f"model = {head}.from_pretrained(name)", "processor = LxmertProcessor.from_pretrained(name)"]
        return "\n".join([*lines, *self._asked()])

    def remote_code(self) -> str:
        """With the code in the repository."""
        if self.checkpoint.sees_pictures:
            model = f'model="{self.repo_id}", trust_remote_code=True'
            lines = ["from transformers import pipeline", "", f'answer = pipeline("{TASK_TYPE}", {model})']
            return "\n".join([*lines, f'print(answer(image="picture.png", question={self._question}))'])
        lines = [f"from transformers import {self.auto_class}, AutoProcessor"]
        lines += [] if self.checkpoint.extractor else [REGIONS_IMPORT]
        lines += ["", f'name = "{self.repo_id}"']
        lines += [] if self.checkpoint.extractor else [REGIONS_OF_REPOSITORY]
        lines += [f"model = {self.auto_class}.from_pretrained(name, trust_remote_code=True)"]
        lines += ["processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)"]
        return "\n".join([*lines, *self._asked()])

    def stock(self) -> str:
        """With what transformers brings."""
        stock, read = STOCK_READ.get(self.checkpoint.head, STOCK_ENCODER)
        width = self.checkpoint.feature_dim
        return "\n".join(
            [
                "import torch",
                f"from transformers import BertTokenizer, {stock}",
                "",
                f'name = "{self.repo_id}"',
                f"model = {stock}.from_pretrained(name, dtype=torch.float32)",
                "tokenizer = BertTokenizer.from_pretrained(name)",
                f"features = torch.zeros(1, 36, {width})  # (1, R, {width}), of your regions",
                "boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 36, 4)  # x1, y1, x2, y2 as shares of the image",
                f'inputs = tokenizer({self._question}, return_tensors="pt")',
                'inputs |= {"visual_feats": features, "visual_pos": boxes}',
                read,
            ]
        )

    @property
    def _question(self) -> str:
        """As a literal of Python."""
        examples = self.checkpoint.examples
        asked = examples[0].question if examples else QUESTIONS.get(self.checkpoint.head, "what is it?")
        return json.dumps(asked, ensure_ascii=False)

    def _asked(self) -> list[str]:
        pair = self.checkpoint.head == "LxmertForVisualReasoning"
        before = []
        if self.checkpoint.extractor is not None:
            what = 'images=[["left.png", "right.png"]]' if pair else 'images="picture.png"'
        else:  # (R, D), and (R, 4) in pixels
            before = [
                "regions = Regions(features=features, boxes=boxes, image_size=(height, width))  # boxes in pixels"
            ]
            what = "regions=[[regions, regions]]" if pair else "regions=regions"
        inputs = f'inputs = processor(text={self._question}, {what}, return_tensors="pt")'
        return [*before, inputs, READ[self.checkpoint.head]]


def _block(code: str) -> str:
    return f"```python\n{code}\n```"
