"""Shared by all tests: offline, small models and batches, and the way to the reference data."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, as many as there are cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.register_assert_rewrite("tests.modeling_lxmert.contract")

from lxmert import ComponentRegionExtractor, LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor
from lxmert.processing import train_wordpiece_tokenizer
from tests.browser import browser  # noqa: F401, a fixture

ROOT = Path(__file__).parent.parent
SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_qa_labels": 7,
    "num_object_labels": 5,
    "num_attr_labels": 3,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
    "l_layers": 2,
    "r_layers": 2,
    "x_layers": 2,
    "visual_feat_dim": 12,
}


@pytest.fixture
def small_config() -> Callable[..., LxmertConfig]:
    """Makes a configuration of a small model; keywords override."""
    return lambda **overrides: LxmertConfig(**(SMALL | overrides))


@pytest.fixture
def small_model(small_config: Callable[..., LxmertConfig]) -> LxmertForQuestionAnswering:
    """A small model in evaluation mode, the same in every test."""
    torch.manual_seed(0)
    return LxmertForQuestionAnswering(small_config()).eval()


def make_batch(
    words: int = 9, regions: int = 5, batch: int = 3, seed: int = 0, images: int = 1, **sizes: int
) -> dict[str, torch.Tensor]:
    """Random inputs of the small models' sizes without masks; about pairs where there are two `images`."""
    generator = torch.Generator().manual_seed(seed)
    width, vocabulary = sizes.get("visual_feat_dim", 12), sizes.get("vocab_size", 60)
    shape = (batch, regions) if images == 1 else (batch, images, regions)
    return {
        "input_ids": torch.randint(1, vocabulary, (batch, words), generator=generator),
        "visual_feats": torch.randn(*shape, width, generator=generator),
        "visual_pos": torch.rand(*shape, 4, generator=generator),
    }


def make_masks(words: int = 9, regions: int = 5, images: int = 1) -> dict[str, torch.Tensor]:
    """Masks of a batch of three: whole, padded at the end, and with a hole in the middle; of pairs, each its own."""
    text, vision = torch.ones(3, words, dtype=torch.long), torch.ones(3, regions, dtype=torch.long)
    text[1, words // 2 :] = 0
    vision[1, 2:] = 0
    text[2, 2] = vision[2, 1] = 0
    if images == 2:
        vision = torch.stack([vision, vision.roll(1, dims=0)], dim=1)
    return {"attention_mask": text, "visual_attention_mask": vision}


def shared_folder(name: str) -> Path:
    """A folder of the data that lie beside the checkout, such as data/bottom_up; where it is absent the test skips."""
    folder = Path(os.environ.get("LXMERT_REFERENCE", ROOT.parent / "shared")) / name
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder}; LXMERT_REFERENCE names the one above {name}")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of golden outputs of the original implementation."""
    return shared_folder("reference")


QUESTIONS = ["what color is the shape?", "is there a circle in the image?", "is there no red shape?"]


@pytest.fixture(scope="session")
def processor() -> LxmertProcessor:
    """A processor with a small vocabulary and a region extractor for drawings."""
    tokenizer = train_wordpiece_tokenizer(QUESTIONS, model_max_length=16)
    return LxmertProcessor(tokenizer, ComponentRegionExtractor(crop_size=2))


@pytest.fixture(scope="session")
def drawing() -> Image.Image:
    """A white picture, 40 wide and 30 high, with a red and a blue rectangle."""
    image = Image.new("RGB", (40, 30), "white")
    image.paste("red", (2, 3, 12, 13))
    image.paste("blue", (20, 10, 36, 26))
    return image
