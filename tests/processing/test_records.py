import json
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lxmert.processing.records import check_records, read_records

COLUMNS = ("image_id", "sentence", "answers", "scores", "source")


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def row(image_id: str = "a", sentence: str = "a cat", **fields: object) -> dict:
    return {"image_id": image_id, "sentence": sentence, **fields}


def values(records: datasets.Dataset) -> list[tuple]:
    """The rows, scores rounded as float32 needs it."""
    return [
        (item["image_id"], item["sentence"], dict(zip(item["answers"], np.round(item["scores"], 6), strict=True)))
        for item in records
    ]


def test_lines_become_rows(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "vqa.jsonl",
        row("a", "is it?", answer="Yes."),
        "",
        row("b", "how many?", answers={"two": 1, "Three": 0.3, "2": 0.6}, question_id=7),
        row("b", "Größe ☃", answer=None, source="coco_captions"),
        row("c", "what?", answers=["the cat"], scores=[0.9]),
    )
    records, report = read_records(path, progress=False)
    assert tuple(records.features) == (*COLUMNS, "origin")
    assert records.features["scores"] == datasets.List(datasets.Value("float32"))
    assert values(records) == [
        ("a", "is it?", {"yes": 1.0}),
        ("b", "how many?", {"2": 1.0, "3": 0.3}),
        ("b", "Größe ☃", {}),
        ("c", "what?", {"cat": 0.9}),
    ]
    assert records["source"][:] == ["vqa", "vqa", "coco_captions", "vqa"]
    assert records["origin"][2] == "vqa.jsonl, row 4"
    assert str(report) == "4 sentences (vqa 3, coco_captions 1)\nfields ignored: question_id (1)"


AGGREGATED = [
    {
        "img_id": "COCO_1",
        "sentf": {"mscoco": ["a cat", "two cats"], "vqa": ["how many?"]},
        "labelf": {"vqa": [{"Two": 0.6, "2": 1}]},
    },
    {"img_id": "COCO_2", "sentf": {"vg": ["a dog"]}, "labelf": {}},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_aggregated_files_of_the_original(
    indent: int | None, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lxmert.processing.json_entries.CHUNK_BYTES", chunk)
    (tmp_path / "mscoco_train.json").write_text(json.dumps(AGGREGATED, indent=indent) + "\n")
    records, report = read_records(tmp_path / "mscoco_train.json", progress=False)
    assert values(records) == [
        ("COCO_1", "a cat", {}),
        ("COCO_1", "two cats", {}),
        ("COCO_1", "how many?", {"2": 1.0}),
        ("COCO_2", "a dog", {}),
    ]
    assert report.rows == {"mscoco": 2, "vqa": 1, "vg": 1}
    assert records["origin"][2] == "mscoco_train.json, entry 1, vqa sentence 1"


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_what_is_no_object_is_left_out_of_a_list(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxmert.processing.json_entries.CHUNK_BYTES", chunk)
    (tmp_path / "a.json").write_text(json.dumps([1234, row(), "x", [None], row("b")]))
    records, report = read_records(tmp_path / "a.json", bad_rows="skip", progress=False)
    assert records["image_id"][:] == ["a", "b"]
    assert report.left_out == {"not an object": 3}
    assert report.examples[0] == "a.json, entry 1, row: must be an object, got 1234"


def test_a_list_of_rows_and_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps([row(answer="yes"), row("b")]), encoding="utf-8")
    assert values(read_records(tmp_path / "a.json")[0]) == [("a", "a cat", {"yes": 1.0}), ("b", "a cat", {})]
    (tmp_path / "b.json").write_text(" [ ] ")
    with pytest.raises(ValueError, match=r"b\.json hold no row that can be used: 0 sentences$"):
        read_records(tmp_path / "b.json")


def test_files_without_a_row_are_named(tmp_path: Path) -> None:
    nothing = datasets.Dataset.from_dict({"image_id": [], "sentence": []})
    sources = write_lines(tmp_path / "empty.jsonl"), write_lines(tmp_path / "bad.jsonl", "x"), nothing
    named = r"sources \S+empty\.jsonl, \S+bad\.jsonl, sources\[2\]"
    with pytest.raises(ValueError, match=named + r" hold no row that can be used: 0 sentences\n1 rows left out"):
        read_records(*sources, bad_rows="skip", progress=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": "a", "sentence": "b"}', "after entry 1: broken JSON"),
        ('[{"image_id": "a", "sentence": "b"}] {}', "after entry 1: broken JSON"),
        ('[{"image_id": "a", "sentence": "b"},]', "entry 2: broken JSON"),
        ('[{"image_id": "a", "senten', "entry 1: broken JSON"),
        ("[" * 100_000, "entry 1: broken JSON"),
    ],
)
def test_a_broken_list_cannot_be_skipped(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_records(tmp_path / "a.json", bad_rows="skip")
    assert not list((tmp_path).glob("*.arrow"))


def test_sources_of_all_kinds_are_joined(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "captions.jsonl", row("a", "one"))
    questions = datasets.Dataset.from_dict(
        {"picture": ["b", "c"], "question": ["two?", "three?"], "label": ["A man", None], "other": [1, 2]}
    )
    named = {"image_id": "picture", "sentence": "question", "answer": "label"}
    second, _ = read_records(questions, source_name="vqa", progress=False, **named)
    records, report = read_records(path, second, progress=False)
    assert values(records) == [("a", "one", {}), ("b", "two?", {"man": 1.0}), ("c", "three?", {})]
    assert report.rows == {"captions": 1, "vqa": 2}
    soft = datasets.Dataset.from_dict(row_columns := {"image_id": ["a", "b"], "sentence": ["x", "y"]})
    soft = datasets.Dataset.from_dict({**row_columns, "answers": [{"yes": 1.0}, {"no": 0.3}]})
    assert values(read_records(soft, progress=False)[0]) == [("a", "x", {"yes": 1.0}), ("b", "y", {"no": 0.3})]
    shuffled = soft.select([1])  # a data set with an index
    assert values(read_records(shuffled, progress=False)[0]) == [("b", "y", {"no": 0.3})]
    partly = datasets.Dataset.from_dict({"image_id": ["a", "b"], "sentence": ["x", None]})
    with pytest.raises(ValueError, match=r"sources\[1\]\[1\], sentence: is missing"):
        read_records(soft, partly, progress=False)
    with pytest.raises(ValueError, match=r"sentence='sentence' is no column of sources\[0\], which has \['picture'"):
        read_records(questions, image_id="picture")
    with pytest.raises(ValueError, match="answer='lable' is no column"):
        read_records(questions, **(named | {"answer": "lable"}))


BROKEN = [
    ('{"image_id": "a", ', "row: broken JSON .*; write one object", "broken JSON"),
    ("[1, 2]", r"row: must be an object, got \[1, 2\]", "not an object"),
    ({"image_id": "a"}, r"sentence: is missing; the row has \['image_id'\]", "missing field"),
    ({"sentence": "b", "image_id": None}, "image_id: is missing", "missing field"),
    (row(image_id=5), "image_id: must be a string, got 5, write it with quotes", "wrong type"),
    (row(sentence=["x"]), r"sentence: must be a string, got \['x'\]", "wrong type"),
    (row(source=3), "source: must be a string, got 3", "wrong type"),
    (row(answer=True), "answer: must be a string, got True", "wrong type"),
    (row(answer="a", answers={"a": 1}), "answer: came along with answers", "wrong type"),
    (row(answers="yes"), "answers: must be scores by answer", "wrong type"),
    (row(answers=["yes"]), "scores: must have one score for each of 1 answers, got None", "wrong type"),
    (row(answers={"yes": "1"}), "answers: score of 'yes' must be a number .*, got '1'", "wrong type"),
    (row(answers={"yes": True}), "answers: score of 'yes' must be a number .*, got True", "wrong type"),
    ('{"image_id": "a", "sentence": "\\ud800"}', "sentence: is no valid Unicode", "broken JSON"),
    ({"img_id": "a", "sentf": ["b"]}, "sentf: must be an object of lists", "wrong type"),
    ({"img_id": "a", "sentf": {"vqa": ["b"]}, "labelf": {"vqa": []}}, "labelf: has 0 labels for 1", "wrong type"),
    ({"img_id": "a", "sentf": {"vqa": [7]}}, "vqa sentence 1, sentf: must be a string, got 7", "wrong type"),
    ({"sentf": {"vqa": ["b"]}}, "img_id: is missing", "missing field"),
]


@pytest.mark.parametrize(("line", "message", "reason"), BROKEN)
def test_broken_rows_are_named_or_left_out(line: object, message: str, reason: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", row(), line, row("b"))
    with pytest.raises(
        ValueError, match=f"rows.jsonl, row 2, (vqa sentence 1, )?{message.removeprefix('vqa sentence 1, ')}"
    ):
        read_records(path, progress=False)
    records, report = read_records(path, bad_rows="skip", progress=False)
    assert records["image_id"][:] == ["a", "b"]
    assert report.left_out == {reason: 1}
    assert f"1 rows left out: {reason} (1)\n  such as rows.jsonl, row 2" in str(report)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "first.jsonl", row(), *["nonsense"] * 4)
    second = write_lines(tmp_path / "second.jsonl", *[row(image_id=3)] * 1500)
    with pytest.raises(ValueError, match=r'them out with bad_rows="skip" \(bad_rows: skip in a recipe\)\.$') as caught:
        read_records(first, second, progress=False)
    lines = str(caught.value).splitlines()
    assert [line.split(",")[:2] for line in lines[1:6]] == [
        *(["  first.jsonl", f" row {number}"] for number in (2, 3, 4, 5)),
        ["  second.jsonl", " row 1"],
    ]
    assert lines[6] == "  and 1,499 more"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: read_records(), ValueError, "sources is empty"),
        (lambda: read_records("missing.jsonl"), FileNotFoundError, "missing.jsonl"),
        (
            lambda: read_records([row()]),
            TypeError,
            r"sources\[0\] must be the path of a JSON file or a datasets.Dataset",
        ),
        (lambda: read_records("a.jsonl", bad_rows="ignore"), ValueError, 'bad_rows must be "raise" or "skip"'),
        (lambda: read_records("a.jsonl", sentense="x"), TypeError, "sentense"),
    ],
)
def test_bad_calls_are_refused(call: Callable, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_cache_follows_the_content(tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", write_lines(tmp_path / "rows.jsonl", row(sentence="old"), "x")
    first, report = read_records(path, cache_dir=cache, bad_rows="skip", progress=False)
    files = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert len(files) == 2
    again, report_again = read_records(path, cache_dir=cache, bad_rows="skip", progress=False)
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == files
    assert report_again == report
    write_lines(path, row(sentence="new"), "x")  # the same size, within the clock's tick
    new, _ = read_records(path, cache_dir=cache, bad_rows="skip", progress=False)
    assert [part["sentence"][0] for part in (first, again, new)] == ["old", "old", "new"]
    with pytest.raises(ValueError, match="row 2"):  # what was skipped is not taken for good
        read_records(path, cache_dir=cache, progress=False)


def test_no_cache_is_left_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "home")
    (tmp_path / "temporary").mkdir()
    records, _ = read_records(write_lines(tmp_path / "rows.jsonl", row()), progress=False)
    check_records(records, {"a"}, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"temporary", "rows.jsonl"}
    assert all(Path(file["filename"]).is_relative_to(tmp_path / "temporary") for file in records.cache_files)


@pytest.fixture
def faulty(tmp_path: Path) -> datasets.Dataset:
    """Rows of which a table of yes and no, and the images a and b, admit some."""
    path = write_lines(
        tmp_path / "rows.jsonl",
        row("a", "one", answers={"yes": 1.0, "maybe": 0.3, "no": 0.6}),
        row("x", "two", answer="maybe"),
        row("b", " \t\u200b\u00a0", answer="yes"),
        row("b", "four", answers={"yes": 0.0, "no": 1.5}),
        row("b", "five", answers={"no": 10**400}),
        row("b", "fine, but", answers={"yes": 1.5}),
        row("b", "fine, but", answers={"yes": 0}),
        row("b", "six", answer="maybe"),
        row("a", "seven"),
        row("x", ""),
    )
    return read_records(path, progress=False)[0]


def test_faults_are_told_before_training(faulty: datasets.Dataset) -> None:
    with pytest.raises(ValueError, match="records have bad rows") as caught:
        check_records(faulty, {"a", "b"}, ["yes", "no"], progress=False)
    assert str(caught.value).splitlines()[1:7] == [
        "  rows.jsonl, row 1, answers: 'maybe' is not in the answer table; add it there, or correct it",
        "  rows.jsonl, row 2, image_id: 'x' has no regions; extract them, or name the image as there",
        "  rows.jsonl, row 3, sentence: has nothing to read, got ' \\t\\u200b\\xa0'; write a sentence",
        "  rows.jsonl, row 4, scores: must be one in (0, 1] for each answer, got [0.0, 1.5]",
        "  rows.jsonl, row 5, scores: must be one in (0, 1] for each answer, got [inf]",
        "  and 4 more",
    ]


def test_what_can_serve_stays(faulty: datasets.Dataset) -> None:
    kept, report = check_records(faulty, ["a", "b"], ["yes", "no"], bad_rows="skip", progress=False)
    assert values(kept) == [("a", "one", {"yes": 1.0, "no": 0.6}), ("b", "six", {}), ("a", "seven", {})]
    assert kept.features == faulty.features
    assert report.left_out == {"image without regions": 2, "empty sentence": 1, "score out of range": 4}
    assert (report.answers_left_out, report.rows) == (2, {"rows": 3})
    again, second = check_records(kept, {"a", "b"}, ["yes", "no"], report=report, progress=False)
    assert again is kept
    assert second.left_out == report.left_out
    assert (second.answers_left_out, second.rows) == (2, {"rows": 3})
    some = faulty.select([8, 7])  # with an index, in another order
    assert values(check_records(some, {"a", "b"}, ["no"], "skip", progress=False)[0]) == [
        ("a", "seven", {}),
        ("b", "six", {}),
    ]


def test_a_table_may_spell_answers_as_it_likes(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", row(answer="Yes."), row(answer="The cat"), row(answer="2"))
    records, _ = read_records(path, progress=False)
    kept, report = check_records(records, {"a"}, ["Yes", "a cat.", "Two"], progress=False)
    assert kept is records
    assert report.answers_left_out == 0
    with pytest.raises(ValueError, match="row 1, answers: 'yes' is not in the answer table"):
        check_records(records, {"a"}, ["yes please", "a cat.", "Two"], progress=False)
    made = records.map(lambda item: {"answers": ["Yes"]}, load_from_cache_file=False)  # not by read_records
    assert check_records(made, {"a"}, ["Yes"], progress=False)[0] is made


@pytest.mark.parametrize("batch_rows", [1, 10_000])
def test_records_made_by_hand_are_checked(
    batch_rows: int, faulty: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lxmert.processing.record_tables.BATCH_ROWS", batch_rows)
    with pytest.raises(ValueError, match="records must have the columns .*make them by read_records"):
        check_records(faulty.remove_columns("scores"), {"a"})
    columns = {"image_id": ["a", None], "sentence": ["x", "y"], "answers": [["", "no"], []], "scores": [[1.0, 1.0], []]}
    features = datasets.Features({name: faulty.features[name] for name in COLUMNS})
    made = datasets.Dataset.from_dict(columns | {"source": ["s", "s"]}, features=features)
    with pytest.raises(ValueError, match=r"records\[0\], answers: '' is not[^|]*records\[1\], image_id: None has no"):
        check_records(made, {"a"}, progress=False)
    kept, _ = check_records(made, {"a"}, bad_rows="skip", progress=False)
    assert values(kept) == [("a", "x", {"no": 1.0})]
    uneven = datasets.Dataset.from_dict(columns | {"scores": [[1.0], []], "source": ["s", "s"]}, features=features)
    with pytest.raises(ValueError, match="records hold no row that can be used"):
        check_records(uneven, {"a"}, bad_rows="skip", progress=False)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ANSWERS = st.sampled_from(["yes", "no", "maybe", "red", "2"])


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcx"), TEXT, st.dictionaries(ANSWERS, st.sampled_from([0.0, 0.25, 1.0]), max_size=3)
        ),
        min_size=1,
        max_size=30,
    )
)
def test_checking_agrees_with_a_plain_loop(rows: list[tuple], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_lines(path, *({"image_id": a, "sentence": "." + b, "answers": c} for a, b, c in rows))
    records, _ = read_records(path, progress=False)
    assert values(records) == [(a, "." + b, c) for a, b, c in rows]
    expected = [
        (a, "." + b, {answer: score for answer, score in c.items() if answer in ("yes", "no", "2")})
        for a, b, c in rows
        if a != "x" and 0.0 not in c.values()
    ]
    if expected:
        kept, _ = check_records(records, set("abc"), ["yes", "no", "2"], "skip", progress=False)
        assert values(kept) == expected
