import json
from pathlib import Path

import numpy as np
import pytest

from lxmert.training import read_nlvr
from lxmert.training.nlvr import COLOURS, SHAPES, scene_regions
from tests.conftest import shared_folder

SCENE = [
    [{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}],
    [],
    [{"x_loc": 70, "y_loc": 0, "type": "triangle", "color": "#0099ff", "size": 30}],
]


def write(folder: Path, split: str, lines: list[dict]) -> None:
    (folder / split).mkdir(parents=True)
    (folder / split / f"{split}.json").write_text("\n".join(json.dumps(line) for line in lines))


def line(number: int, directory: int, **changes: object) -> dict:
    example = {"sentence": f"sentence {number}", "label": "true", "identifier": f"{number}-0"}
    return example | {"directory": str(directory), "structured_rep": SCENE} | changes


def test_regions_by_hand() -> None:
    regions = scene_regions("train/7-0", SCENE)
    assert regions.image_size == (100, 400)
    assert regions.boxes.tolist() == [
        [40, 80, 60, 100],
        [0, 0, 100, 100],
        [150, 0, 250, 100],
        [370, 0, 400, 30],
        [300, 0, 400, 100],
    ]
    assert [SHAPES[i] for i in regions.object_ids] == ["square", "box", "box", "triangle", "box"]
    assert regions.attribute_ids.tolist() == [list(COLOURS).index("black"), -1, -1, list(COLOURS).index("blue"), -1]
    assert regions.features.tolist()[0] == [1, 0, 0, 0, 0, 0, 1, 0, 1, 0]  # square, black, 20 pixels
    assert regions.features.tolist()[1] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert regions.image_id == "train/7-0"


def test_whole_directories_validate(tmp_path: Path) -> None:
    write(tmp_path, "train", [line(i, directory=i % 5) for i in range(20)])
    write(tmp_path, "dev", [line(99, directory=2, label="false")])
    data = read_nlvr(tmp_path, validation_directories=2)
    assert (len(data.training), len(data.validation)) == (12, 8)
    directory = {f"train/{i}-0": i % 5 for i in range(20)}
    parts = [{directory[example.image_id] for example in part} for part in (data.training, data.validation)]
    assert not parts[0] & parts[1]
    assert [(e.image_id, e.text, e.answer) for e in data.test] == [("dev/99-0", "sentence 99", "false")]
    assert data.scenes["dev/99-0"] == SCENE


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train.json is not there: NLVR .* comes from https://github.com"):
        read_nlvr(tmp_path)
    write(tmp_path, "train", [line(0, 0), line(1, 1, label="maybe")])
    write(tmp_path, "dev", [line(2, 2)])
    with pytest.raises(ValueError, match="line 2: label must be true or false, got 'maybe'"):
        read_nlvr(tmp_path)
    (tmp_path / "train" / "train.json").write_text('{"sentence": "x"}')
    with pytest.raises(ValueError, match="line 1 lacks directory, identifier, label, structured_rep"):
        read_nlvr(tmp_path)
    good = json.dumps(line(0, 0)).encode()
    for broken, problem in [
        (good[:-20], "broken JSON .*"),
        (b"", "broken JSON .*"),
        (b"\xff\xfe", "broken JSON .*"),
        (b"[1]", "no example"),
    ]:
        (tmp_path / "train" / "train.json").write_bytes(good + b"\n" + broken + b"\n")
        with pytest.raises(ValueError, match=rf"train\.json, line 2: {problem}: .*fetch the file again"):
            read_nlvr(tmp_path)
    with pytest.raises(ValueError, match="holds what NLVR does not have"):
        scene_regions("x", [[{"x_loc": 0, "y_loc": 0, "type": "star", "color": "Black", "size": 20}], [], []])


def test_the_real_data_set() -> None:
    folder = shared_folder("data/nlvr")
    data = read_nlvr(folder)
    assert len(data.training) + len(data.validation) == 12408
    assert len(data.test) == 989
    assert sum(example.answer == "true" for example in data.test) / 989 == pytest.approx(0.553, abs=0.001)
    for example in data.test[:50]:
        regions = scene_regions(example.image_id, data.scenes[example.image_id])
        assert np.count_nonzero(regions.object_ids == SHAPES.index("box")) == 3
