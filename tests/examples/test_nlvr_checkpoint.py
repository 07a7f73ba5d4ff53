"""The checkpoint in checkpoints/nlvr, as the README shows it: sentences about pictures of three boxes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from lxmert import LxmertForPreTraining, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.detection import extract_images
from lxmert.detection.image_sources import ImageMapping
from lxmert.hub.remote_code import export_remote_code
from lxmert.processing import RegionStore
from lxmert.training import TASKS
from lxmert.training.nlvr import nlvr_images, read_nlvr
from lxmert.training.nlvr_drawing import draw_scene
from tests.conftest import shared_folder

ROOT = Path(__file__).parent.parent.parent
CHECKPOINT = ROOT / "checkpoints" / "nlvr"
COLOURS = {"yellow": "Yellow", "blue": "#0099ff", "black": "Black"}

Pair = tuple[LxmertForQuestionAnswering, LxmertProcessor]


def shape(x: int, y: int, kind: str, colour: str, size: int) -> dict[str, Any]:
    return {"x_loc": x, "y_loc": y, "type": kind, "color": COLOURS[colour], "size": size}


def tower(*colours: str) -> list[dict[str, Any]]:
    """Blocks from the base to the top."""
    return [shape(40, y, "square", colour, 20) for colour, y in zip(colours, (80, 59, 38, 17), strict=False)]


SCATTERED = [
    [
        shape(8, 70, "circle", "yellow", 30),
        shape(55, 12, "circle", "yellow", 20),
        shape(60, 60, "triangle", "black", 30),
    ],
    [shape(20, 20, "square", "blue", 30), shape(70, 80, "square", "black", 20)],
    [
        shape(10, 10, "triangle", "blue", 20),
        shape(45, 40, "circle", "black", 30),
        shape(80, 75, "triangle", "yellow", 20),
    ],
]
TOWERS = [tower("yellow", "black"), tower("blue", "blue", "black", "yellow"), tower("black")]
SENTENCES = [
    (SCATTERED, "There is a box with two yellow circles.", True),
    (SCATTERED, "There is a box with three yellow circles.", False),
    (SCATTERED, "There is a yellow circle touching the base.", True),
    (SCATTERED, "There is a blue square touching the base.", False),
    (SCATTERED, "There are exactly two yellow circles.", True),
    (SCATTERED, "There is a box with a blue square and a black square.", True),
    (SCATTERED, "There is a box with a blue square and a yellow circle.", False),
    (SCATTERED, "There is a box with only 2 items.", True),
    (SCATTERED, "There is no black triangle.", False),
    (SCATTERED, "There is a box with items of all 3 different colors.", True),
    (TOWERS, "There is a tower with a yellow block at the top.", True),
    (TOWERS, "There is a tower with a blue block at the top.", False),
    (TOWERS, "There is exactly one tower with four blocks.", True),
    (TOWERS, "There is a tower with exactly three blocks.", False),
    (TOWERS, "There is a black block on a yellow block.", True),
    (TOWERS, "There is a black block as the base of a tower.", True),
    (TOWERS, "There are two towers with a black block at the top.", True),
    (TOWERS, "There is a tower with only yellow blocks.", False),
    (TOWERS, "There is a tower with two blue blocks.", True),
    (TOWERS, "There are 4 blue blocks.", False),
]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return LxmertForQuestionAnswering.from_pretrained(CHECKPOINT), LxmertProcessor.from_pretrained(CHECKPOINT)


@torch.inference_mode()
def answers(pair: Pair, *order: int) -> list[str]:
    model, processor = pair
    pictures = [draw_scene(scene, order or (0, 1, 2)) for scene, _, _ in SENTENCES]
    inputs = processor(text=[sentence for _, sentence, _ in SENTENCES], images=pictures, return_tensors="pt")
    return [model.config.id2label[answer] for answer in model(**inputs).logits.argmax(-1).tolist()]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_it_answers_sentences_about_pictures(pair: Pair, order: tuple[int, ...]) -> None:
    right = [given == str(truth).lower() for given, (_, _, truth) in zip(answers(pair, *order), SENTENCES, strict=True)]
    assert sum(right) >= 18, [
        sentence for (_, sentence, _), is_right in zip(SENTENCES, right, strict=True) if not is_right
    ]


def test_it_is_small_safe_and_has_a_card() -> None:
    sizes = {file.name: file.stat().st_size for file in CHECKPOINT.iterdir()}
    assert sum(sizes.values()) < 80e6
    assert {"model.safetensors", "config.json", "processor_config.json", "README.md"} <= sizes.keys()
    card = ModelCard.load(CHECKPOINT / "README.md")
    assert card.data.license == "apache-2.0"
    assert {entry["split"] for entry in card.data.to_dict()["training_data"]} == {"training", "validation"}
    for word in ("grammar", "CC-BY-4.0", "dev"):
        assert word in card.content


def test_the_snippets_of_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The package's and the published copy's say the truth about a picture; transformers' own gives some answer."""
    draw_scene(SCATTERED).save(tmp_path / "picture.png")
    shutil.copytree(CHECKPOINT, tmp_path / "published")
    export_remote_code(tmp_path / "published")
    places = {
        "picture.png": str(tmp_path / "picture.png"),
        "checkpoints/nlvr": str(CHECKPOINT),
        "YOUR_NAME/lxmert-nlvr": str(tmp_path / "published"),
    }
    card = (CHECKPOINT / "README.md").read_text()
    said = []
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        for name, place in places.items():
            code = code.replace(f'"{name}"', repr(place))
        capsys.readouterr()
        exec(code, {})
        said.append(capsys.readouterr().out.strip().splitlines()[-1])
    ours, published, stock = said
    assert ours == "true"
    assert "'answer': 'true'" in published
    assert stock in ("true", "false")


def test_it_says_which_regions_a_word_means(pair: Pair) -> None:
    model, processor = LxmertForPreTraining.from_pretrained(CHECKPOINT), pair[1]
    sentence = "there is a box with two yellow circles"
    inputs = processor(text=sentence, images=draw_scene(SCATTERED), return_tensors="pt")
    with torch.inference_mode():
        meant = model(**inputs).grounding_logits[0] > 0  # (T, R)
    words = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    # regions from top to bottom: yellow circle, black triangle or yellow circle, ..., and behind them the first box
    circles = [i for i, box in enumerate(inputs["visual_pos"][0].tolist()) if box[2] < 0.25 and box[2] - box[0] < 0.1]
    means = meant[words.index("circles")].nonzero().flatten().tolist()
    assert len(circles) == 3
    assert len(set(means) & set(circles)) == 2


@pytest.mark.slow
def test_dev_from_the_pictures(pair: Pair, tmp_path: Path) -> None:
    folder = shared_folder("data/nlvr")
    model, processor = pair
    pictures, questions = nlvr_images(folder, "dev", tmp_path, progress=False), read_nlvr(folder).test
    assert processor.region_extractor is not None
    extract_images(ImageMapping(pictures), processor.region_extractor, tmp_path / "regions", progress=False)
    judged = TASKS["nlvr"].judge(model, processor, questions, RegionStore(tmp_path / "regions"))
    assert judged.figures["accuracy"] > 0.86
