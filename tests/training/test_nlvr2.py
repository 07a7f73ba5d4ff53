import json
from collections import Counter
from pathlib import Path

import pytest

from lxmert.training.nlvr2 import read_nlvr2
from tests.conftest import shared_folder


def line(identifier: str, **changes: object) -> dict:
    example = {"sentence": f"About {identifier}.", "label": "True", "left_url": "http://a", "identifier": identifier}
    return example | changes


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_pairs_and_sentences(tmp_path: Path) -> None:
    file = write(
        tmp_path / "dev.json",
        line("dev-850-0-1"),
        line("dev-850-2-1", label="False"),
        line("dev-850-0-0"),
        line("dev-85-0-0"),
    )
    questions = list(read_nlvr2(file, "dev", progress=False))
    assert [each.answer for each in questions] == ["true", "false", "true", "true"]
    assert questions[1].image_ids == ("dev-850-2-img0", "dev-850-2-img1")
    assert questions[1].question_id == "dev-850-2-1"
    assert [each.kinds["sentence"] for each in questions] == ["dev-850-1", "dev-850-1", "dev-850-0", "dev-85-0"]


@pytest.mark.parametrize(
    ("place", "split"),
    [
        ("nlvr2/data/test1.json", "test1"),
        ("data/test1.json", "test1"),
        ("test1.json", "test1"),
        ("nlvr2/data/balanced/balanced_test1.json", "balanced_test1"),
        ("nlvr2/data/unbalanced/unbalanced_test1.json", "unbalanced_test1"),
    ],
)
def test_layouts_of_the_repository(place: str, split, tmp_path: Path) -> None:
    write(tmp_path / place, line("test1-0-1-0", directory=7))
    (only,) = read_nlvr2(tmp_path, split, progress=False)
    assert only.image_ids == ("test1-0-1-img0", "test1-0-1-img1")
    assert only.kinds == {"sentence": "test1-0-0", "directory": "7"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence": ""}, "sentence: must be a text that is not empty"),
        ({"label": "true"}, 'label: must be "True" or "False", got \'true\''),
        ({"label": None}, "label: must be a text that is not empty, got None"),
        ({"identifier": "dev-850-0"}, "identifier: must be split, set, pair and sentence such as dev-850-0-1, got 'de"),
        ({"identifier": "train-850-0-0"}, "identifier: must be one of the split dev, got 'train-850-0-0'"),
        ({"directory": [7]}, r"directory: must be a number or a text, got \[7\]"),
    ],
)
def test_bad_lines_are_named_and_leave_nothing(changes: dict, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "dev.json", line("dev-1-0-0"), line("dev-2-0-0") | changes)
    with pytest.raises(ValueError, match=rf"dev\.json, line 2, {message}"):
        read_nlvr2(file, "dev", tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks dev\.json: NLVR2.*50 MB.*https://github\.com/lil-lab/nlvr"):
        read_nlvr2(tmp_path, "dev")
    with pytest.raises(ValueError, match="split must be one of train, dev, .*, got 'test'"):
        read_nlvr2(tmp_path, "test")  # type: ignore[arg-type]
    file = write(tmp_path / "dev.json", line("dev-1-0-0"), line("dev-1-0-0"))
    with pytest.raises(ValueError, match="line 2: the id 'dev-1-0-0' came before, in .*line 1"):
        read_nlvr2(tmp_path, "dev", progress=False)
    file.write_text(file.read_text()[:-9])
    with pytest.raises(ValueError, match=r"dev\.json, line 2: broken JSON"):
        read_nlvr2(tmp_path, "dev", progress=False)
    file.write_text(json.dumps({"sentence": "x", "structured_rep": []}))
    with pytest.raises(ValueError, match=r"identifier: is missing, .*it looks like NLVR v1 \(read_nlvr\)"):
        read_nlvr2(tmp_path, "dev", progress=False)
    file.write_text(json.dumps([{"img0": "a", "img1": "b", "identifier": "dev-1-0-0"}]))
    with pytest.raises(ValueError, match=r"must begin with \{, got '\['; it looks like the LXMERT authors' NLVR2"):
        read_nlvr2(tmp_path, "dev", progress=False)


def test_the_real_development_split() -> None:
    questions = list(read_nlvr2(shared_folder("data/nlvr2") / "dev.json", "dev", progress=False))
    assert len(questions) == len({each.question_id for each in questions}) == 6982
    assert Counter(each.answer for each in questions) == {"true": 3551, "false": 3431}
    sentences: dict[str, set[str]] = {}
    for each in questions:
        sentences.setdefault(each.kinds["sentence"], set()).add(each.text)
    assert len(sentences) == 2018
    assert all(len(texts) == 1 for texts in sentences.values())
    assert len({image for each in questions for image in each.image_ids}) == 2 * len({e.image_ids for e in questions})
