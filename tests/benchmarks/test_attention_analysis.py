"""The analysis of attention: shares by hand, and a run on a small data set."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas
import pytest
import torch

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor, Regions
from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.processing import train_wordpiece_tokenizer
from lxmert.training.nlvr_drawing import draw_scene
from lxmert.visualization import AttentionRecord
from tests.conftest import ROOT, SMALL

SCENE = [[{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}], [], []]
SENTENCES = ("There is a black square.", "There is a box with two yellow circles.")


@pytest.fixture(scope="module")
def analysis(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """benchmarks/attention_analysis.py."""
    return load_benchmark("attention_analysis")


def make_regions() -> Regions:
    """A square and a circle in the first box, one square alone outside of all, and an empty box."""
    boxes = [[10, 10, 20, 20], [50, 50, 60, 60], [0, 0, 100, 100], [120, 10, 130, 20], [150, 0, 250, 100]]
    names = ("square", "circle", "box")
    return Regions(np.zeros((5, 1)), boxes, (100, 400), object_ids=[0, 1, 2, 0, 2], object_names=names)


def test_shares_within_boxes_by_hand(analysis: ModuleType) -> None:
    regions = make_regions()
    assert analysis.boxes_of(regions).tolist() == [2, 2, 2, -1, 4]
    uniform = np.full((5, 5), 0.2)
    own = uniform.copy()
    own[0] = [0.6, 0.2, 0.1, 0.1, 0.0]  # of what is not on itself, 0.3 of 0.4 stay in the box
    own[1] = [0.0, 1.0, 0.0, 0.0, 0.0]  # nothing is on others
    maps = np.stack([uniform, own]).astype(np.float32)[None, None]  # (1 layer, 1 pair, 2 heads, 5, 5)
    names = (tuple(map(str, range(5))),)
    record = AttentionRecord(
        {"vision": maps, "cross_vision_self": maps}, (("a",),), names, np.ones((1, 1), bool), np.ones((1, 5), bool)
    )
    table = analysis.within_boxes([analysis.Pair("a", regions, record)] * 2)
    assert table["kind"].tolist() == ["vision"] * 2 + ["cross_vision_self"] * 2
    # the two alone are not asked: each of the first three has two of four others in its box
    assert table["uniform"].tolist() == pytest.approx([0.5] * 4)
    assert table["within"].tolist() == pytest.approx([0.5, (0.75 + 0 + 0.5) / 3] * 2)


def write_small_data(folder: Path) -> None:
    """Two directories of two sentences each, in both splits."""
    for split in ("train", "dev"):
        lines = []
        for directory in range(2):
            for number, sentence in enumerate(SENTENCES):
                name = f"{directory}{number}-0"
                line = {"identifier": name, "directory": str(directory), "label": "true", "sentence": sentence}
                lines.append(json.dumps(line | {"structured_rep": SCENE}))
                picture = folder / split / "images" / str(directory) / f"{split}-{name}-0.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                draw_scene(SCENE).save(picture)
        (folder / split / f"{split}.json").write_text("\n".join(lines))


def test_a_run_on_small_data(
    analysis: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("HanTa", reason="HanTa is not installed")
    write_small_data(tmp_path / "nlvr")
    read = analysis.read_nlvr
    monkeypatch.setattr(analysis, "read_nlvr", lambda folder: read(folder, validation_directories=1))

    def no_minilm() -> Path:
        raise ModuleNotFoundError

    monkeypatch.setattr(analysis, "minilm_folder", no_minilm)
    tokenizer = train_wordpiece_tokenizer(SENTENCES, model_max_length=16)
    extractor = DrawnBoxesRegionExtractor()
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "visual_feat_dim": extractor.feature_dim, "num_qa_labels": 2}
    model = LxmertForQuestionAnswering(LxmertConfig(**(SMALL | sizes), id2label={0: "false", 1: "true"}))
    model.save_pretrained(tmp_path / "model")
    LxmertProcessor(tokenizer, extractor).save_pretrained(tmp_path / "model")
    output = tmp_path / "output"
    command = ["x", "--data", tmp_path / "nlvr", "--checkpoint", tmp_path / "model", "--output", output]
    command += ["--picture", ROOT / "docs" / "images" / "three_boxes.png", "--questions", "3", "--least", "1"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    analysis.main()
    told = capsys.readouterr().out
    assert "MiniLM is not installed: no comparison." in told
    heads = pandas.read_csv(output / "neighbour_heads.csv")
    assert len(heads) == 2 * 4 * 4  # directions, layers, heads
    # "There is a black square." and the sentence that is shown, 5 and 8 of whose tokens have a next one
    assert set(heads["words"]) == {5 + 8}
    parts = pandas.read_csv(output / "parts_of_speech.csv")
    assert parts.query("layer == 0 and part == 'article'")["words"].tolist() == [3]
    assert set(pandas.read_csv(output / "within_boxes.csv")["uniform"].round(6)) == {round(1 / 3, 6)}
    pictures = {path.stem for path in output.glob("*.png")}
    assert pictures == {
        *("neighbour_heads", "region_graph", "region_graph_cross", "word_attention", "parts_of_speech", "relevance")
    }


def test_words_in_pieces_are_one_each(analysis: ModuleType) -> None:
    pieces = ("[CLS]", "a", "yellow", "##ish", "box", ".", "[SEP]")
    assert analysis.words_to_draw(pieces) == [0, 1, 2]
    assert analysis.words_to_draw(("a",) * 20) == list(range(12))
