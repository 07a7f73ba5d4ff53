import json
from pathlib import Path

import pytest

from lxmert.training.captions import read_captions


def write(folder: Path, **changes: object) -> Path:
    images = [
        {"filename": "COCO_val2014_000000000001.jpg", "split": "train", "sentences": [{"raw": "A cat.", "sentid": 7}]},
        {"filename": "2.jpg", "split": "restval", "sentences": [{"raw": "A dog.", "sentid": 8}]},
        {
            "filename": "3.jpg",
            "split": "test",
            "sentences": [{"raw": "Two cats.", "sentid": 9}, {"raw": "A pair.", "sentid": 10}],
        },
    ]
    images[2] |= changes
    path = folder / "dataset_coco.json"
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def test_splits_are_the_usual_ones(tmp_path: Path) -> None:
    write(tmp_path)
    train = read_captions(tmp_path, "train", progress=False)
    assert [(q.image_ids, q.text, q.question_id) for q in train] == [
        (("COCO_val2014_000000000001",), "A cat.", "7"),
        (("2",), "A dog.", "8"),
    ]
    test = read_captions(tmp_path / "dataset_coco.json", "test", progress=False)
    assert [(q.image_id, q.text, q.question_id) for q in test] == [("3", "Two cats.", "9"), ("3", "A pair.", "10")]
    assert test[0].answer is None


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks dataset_coco.json: captions with their splits come from https"):
        read_captions(tmp_path, "train")
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'val'"):
        read_captions(tmp_path, "val")
    write(tmp_path, sentences=[{"raw": "", "sentid": 9}])
    with pytest.raises(
        ValueError, match=r"dataset_coco.json, entry 3, sentences\[0\], raw: must be a text that is not"
    ):
        read_captions(tmp_path, "test", progress=False)
    write(tmp_path, sentences="none")
    with pytest.raises(ValueError, match=r"entry 3, sentences: must be a list"):
        read_captions(tmp_path, "test", progress=False)
    write(tmp_path)
    with pytest.raises(ValueError, match="no question there"):
        read_captions(tmp_path, "validation", progress=False)
    (tmp_path / "dataset_flickr30k.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds dataset_coco.json and dataset_flickr30k.json: name one"):
        read_captions(tmp_path, "train")
