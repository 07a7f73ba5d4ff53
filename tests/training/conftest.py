"""A tiny question data set that a small model learns in seconds."""

from dataclasses import dataclass

import pytest
import torch
from PIL import Image

from lxmert import ComponentRegionExtractor, LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import extract_regions
from lxmert.processing import Question, RegionStore, train_wordpiece_tokenizer

COLOURS = ("red", "blue", "black")


@dataclass(frozen=True)
class ColourTask:
    examples: list[Question]
    store: RegionStore
    processor: LxmertProcessor
    label2id: dict[str, int]

    def model(self, seed: int = 0) -> LxmertForQuestionAnswering:
        torch.manual_seed(seed)
        return LxmertForQuestionAnswering(
            LxmertConfig(
                vocab_size=len(self.processor.tokenizer),
                hidden_size=32,
                num_attention_heads=2,
                intermediate_size=32,
                l_layers=1,
                r_layers=1,
                x_layers=1,
                visual_feat_dim=12,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                label2id=self.label2id,
            )
        )


@pytest.fixture(scope="session")
def colour_task(tmp_path_factory: pytest.TempPathFactory) -> ColourTask:
    images, examples = {}, []
    for i in range(24):
        colour = COLOURS[i % 3]
        image = Image.new("RGB", (20, 20), "white")
        image.paste(colour, (i % 8, i % 5, i % 8 + 8, i % 5 + 8))
        images[f"image {i}"] = image
        examples.append(Question((f"image {i}",), "what color is it?", {colour: 1.0}))
        asked = COLOURS[(i // 3) % 3]
        examples.append(Question((f"image {i}",), f"is it {asked}?", {"yes" if asked == colour else "no": 1.0}))
    extractor = ComponentRegionExtractor(crop_size=2)
    store, _ = extract_regions(images, extractor, tmp_path_factory.mktemp("colours") / "regions", progress=False)
    tokenizer = train_wordpiece_tokenizer([example.text for example in examples], model_max_length=16)
    answers = sorted({example.answer for example in examples})
    return ColourTask(
        examples, store, LxmertProcessor(tokenizer, extractor), {answer: i for i, answer in enumerate(answers)}
    )
