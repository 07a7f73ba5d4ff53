import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from lxmert.training import read_nlvr
from lxmert.training.nlvr import BOX_OFFSETS, COLOURS, IMAGE_SIZE, SHAPES, nlvr_images, scene_regions
from tests.conftest import shared_folder

SCENE = [
    [{"x_loc": 40, "y_loc": 80, "type": "square", "color": "Black", "size": 20}],
    [],
    [{"x_loc": 70, "y_loc": 0, "type": "triangle", "color": "#0099ff", "size": 30}],
]

WRONG = [
    ("type", "star"),
    ("color", "red"),
    ("color", []),
    ("size", 15),
    ("x_loc", "1"),
    ("x_loc", None),
    ("y_loc", 101),
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
    with pytest.raises(ValueError, match="line 2, label: must be true or false, got 'maybe'"):
        read_nlvr(tmp_path)
    (tmp_path / "train" / "train.json").write_text('{"sentence": "x"}')
    with pytest.raises(ValueError, match="line 1, identifier: is missing, there is sentence. Is it NLVR v1"):
        read_nlvr(tmp_path)
    good = json.dumps(line(0, 0)).encode()
    for broken, problem in [
        (good[:-20], "broken JSON .*"),
        (b"\xff\xfe", "broken JSON .*"),
        (b'{"x": ' + b"9" * 5000 + b"}", "broken JSON .a whole number of too many digits.*"),
        (b"[1]", "must be an object, got .*"),
    ]:
        (tmp_path / "train" / "train.json").write_bytes(good + b"\n" + broken + b"\n")
        with pytest.raises(
            ValueError, match=rf"train\.json, line 2: {problem}\. Is it NLVR v1.*fetch the file again: .*lil-lab/nlvr"
        ):
            read_nlvr(tmp_path)
    for changes, problem in [
        ({"identifier": "../1-0"}, r"identifier: has another form, got '\.\./1-0'"),
        ({"directory": ".."}, r"directory: has another form, got '\.\.'"),
        ({"directory": 3}, "directory: must be a text that is not empty, got 3"),
        ({"sentence": " "}, "sentence: must be a text that is not empty, got ' '"),
        ({"sentence": "\ud800"}, "sentence: is no valid Unicode text"),
        ({"label": ["true"]}, "label: must be a text"),
        ({"structured_rep": None}, "structured_rep: must be a list of lists, got None"),
        ({"structured_rep": SCENE[:2]}, "structured_rep: must be 3 boxes, got 2"),
        ({"structured_rep": [[], [], [3]]}, "structured_rep: must hold objects, got 3"),
        *(
            ({"structured_rep": [[], [], [SCENE[0][0] | {name: value}]]}, f"structured_rep: {name} must be .*, got")
            for name, value in WRONG
        ),
    ]:
        (tmp_path / "train" / "train.json").write_bytes(good + b"\n" + json.dumps(line(1, 1) | changes).encode())
        with pytest.raises(ValueError, match=rf"train\.json, line 2, {problem}.*Is it NLVR v1"):
            read_nlvr(tmp_path)
    (tmp_path / "train" / "train.json").write_bytes(good + b"\n\n" + good)
    with pytest.raises(ValueError, match=r"line 3: the id '0-0' came before, in .*line 1\. .*once in a file.*NLVR v1"):
        read_nlvr(tmp_path)


def test_scenes_that_nlvr_does_not_have() -> None:
    good = SCENE[0][0]
    for name, value in WRONG:
        with pytest.raises(ValueError, match=rf"dev/1-0 holds what NLVR does not have: .*\({name} must be"):
            scene_regions("dev/1-0", [[good | {name: value}], [], []])
    for name in good:
        with pytest.raises(ValueError, match=rf"does not have: .*\({name} must be"):
            scene_regions("dev/1-0", [[{other: good[other] for other in good if other != name}], [], []])
    with pytest.raises(ValueError, match="dev/1-0 must have 3 boxes, got 2"):
        scene_regions("dev/1-0", SCENE[:2])


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "train", [line(0, 0), line(1, 1)])
    write(tmp_path, "dev", [line(2, 2)])
    file = tmp_path / "train" / "train.json"
    file.write_text("\ufeff" + file.read_text().replace("\n", "\r\n\r\n") + "\n\n", encoding="utf-8", newline="")
    data = read_nlvr(tmp_path, validation_directories=1)
    assert sorted(example.question_id for example in (*data.training, *data.validation)) == ["0-0", "1-0"]


def test_pictures_lie_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "dev", [line(3, directory=5), line(4, directory=5), line(5, directory=0)])
    folder = tmp_path / "dev" / "images"
    for name in ("5/dev-3-0-0.png", "5/dev-3-0-1.png", "5/dev-4-0-0.png", "0/dev-5-0-0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = nlvr_images(tmp_path, "dev", tmp_path / "work")
    assert found == {
        "dev/3-0": folder / "5/dev-3-0-0.png",
        "dev/4-0": folder / "5/dev-4-0-0.png",
        "dev/5-0": folder / "0/dev-5-0-0.png",
    }
    assert not (tmp_path / "work").exists()
    (folder / "5/dev-4-0-0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 pictures are missing, such as \S*5/dev-4-0-0\.png: .*github"):
        nlvr_images(tmp_path, "dev", tmp_path / "work")
    with pytest.raises(ValueError, match='split must be "train" or "dev", got \'test\''):
        nlvr_images(tmp_path, "test", tmp_path / "work")  # type: ignore[arg-type]


def test_pictures_are_unpacked_once_and_only_where_they_belong(tmp_path: Path) -> None:
    write(tmp_path, "train", [line(3, directory=5), line(4, directory=6)])
    with pytest.raises(FileNotFoundError, match="2 of 2 pictures are missing"):
        nlvr_images(tmp_path, "train", tmp_path / "work")
    packed = tmp_path / "train" / "images_0.zip"
    with zipfile.ZipFile(packed, "w") as members:
        members.writestr("images/5/train-3-0-0.png", b"three")
        members.writestr("images/6/train-4-0-0.png", b"four")
        members.writestr("images/6/../../../../outside.png", b"bad")
        members.writestr("../outside.png", b"bad")
        members.writestr("/outside.png", b"bad")
    found = nlvr_images(tmp_path, "train", tmp_path / "work", progress=False)
    assert {image_id: path.read_bytes() for image_id, path in found.items()} == {
        "train/3-0": b"three",
        "train/4-0": b"four",
    }
    assert sorted(path for path in tmp_path.rglob("*.png")) == sorted(found.values())
    assert all(path.is_relative_to(tmp_path / "work" / "images") for path in found.values())
    packed.write_bytes(b"")
    assert nlvr_images(tmp_path, "train", tmp_path / "work") == found  # not unpacked again


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_zip_leaves_nothing(damage: str, tmp_path: Path) -> None:
    write(tmp_path, "train", [line(3, directory=5), line(4, directory=6)])
    packed = tmp_path / "train" / "images_0.zip"
    with zipfile.ZipFile(packed, "w") as members:
        members.writestr("images/5/train-3-0-0.png", b"three" * 100)
        members.writestr("images/6/train-4-0-0.png", b"four" * 100)
    content = packed.read_bytes()
    packed.write_bytes(content[:300] if damage == "cut" else content.replace(b"fourfour", b"fourfive", 1))
    with pytest.raises(ValueError, match=r"images_0\.zip is damaged .*: fetch the file again"):
        nlvr_images(tmp_path, "train", tmp_path / "work", progress=False)
    assert not (tmp_path / "work").exists() or not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("split", ["train", "dev"])
def test_real_pictures_show_their_scenes(split, tmp_path: Path) -> None:
    folder = shared_folder("data/nlvr")
    images, scenes = nlvr_images(folder, split, tmp_path, progress=False), read_nlvr(folder).scenes
    assert images.keys() == {image_id for image_id in scenes if image_id.startswith(split)}
    seen = 0
    for image_id in list(images)[::100]:
        with Image.open(images[image_id]) as picture:
            pixels = picture.convert("RGB")
        assert pixels.size == IMAGE_SIZE[::-1]
        for offset, objects in zip(BOX_OFFSETS, scenes[image_id], strict=True):
            for item in objects:
                middle = (offset + item["x_loc"] + item["size"] // 2, item["y_loc"] + item["size"] // 2)
                assert pixels.getpixel(middle) == ImageColor.getrgb(item["color"]), (image_id, item)
                seen += 1
    assert seen > 50


def test_the_real_data_set() -> None:
    folder = shared_folder("data/nlvr")
    data = read_nlvr(folder)
    assert len(data.training) + len(data.validation) == 12408
    assert len(data.test) == 989
    assert sum(example.answer == "true" for example in data.test) / 989 == pytest.approx(0.553, abs=0.001)
    for example in data.test[:50]:
        regions = scene_regions(example.image_id, data.scenes[example.image_id])
        assert np.count_nonzero(regions.object_ids == SHAPES.index("box")) == 3
