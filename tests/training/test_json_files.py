import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lxmert.processing import Question
from lxmert.processing.json_entries import Progress
from lxmert.training import json_files
from lxmert.training.json_files import JsonFile, Record, distinct, find_files, write_table


def record(**values: object) -> Record:
    return Record(Path("a.json"), "entry 3", dict(values))


def test_fields_are_checked() -> None:
    good = record(text="é", number=0, part={"inner": "x"}, texts=["a"], null=None, empty="")
    assert (good.text("text"), good.number("number"), good.text("empty", empty=True)) == ("é", 0, "")
    assert good.part("part").text("inner") == "x"
    assert good.values_of("texts", str) == ["a"]
    assert good.optional_text("null") is good.optional_text("absent") is None
    for call, message in (
        (lambda r: r.text("absent"), r"a\.json, entry 3, absent: is missing, there is empty, null, .*fetch it again"),
        (lambda r: r.text("empty"), "entry 3, empty: must be a text that is not empty, got ''"),
        (lambda r: r.text("number"), "number: must be a text that is not empty, got 0"),
        (lambda r: r.number("text"), r"text: must be a whole number from 0, got '\\xe9'"),
        (lambda r: r.part("texts"), r"texts: must be an object, got \['a'\]"),
        (lambda r: r.part("part").text("other"), "entry 3, part, other: is missing, there is inner"),
        (lambda r: r.values_of("texts", dict), "texts: must be a list of objects"),
        (lambda r: r.values_of("text", str), "text: must be a list of texts"),
    ):
        with pytest.raises(ValueError, match=message):
            call(good)
    for bad in (True, -1, 1.0):
        with pytest.raises(ValueError, match=f"number: must be a whole number from 0, got {bad}"):
            record(number=bad).number("number")
    with pytest.raises(ValueError, match="text: is no valid Unicode text"):
        record(text="\ud800").text("text")
    with pytest.raises(ValueError, match="texts: is no valid Unicode text"):
        record(texts=["a", "\ud800"]).values_of("texts", str)


def test_a_file_of_another_task_is_recognised(tmp_path: Path) -> None:
    for values, name in (
        ({"imageId": "1", "question": "x"}, "GQA as published"),
        ({"img_id": "1", "sent": "x", "question_type": "x"}, "LXMERT authors' VQA"),
        ({"left_url": "x", "sentence": "y", "identifier": "z"}, "NLVR2 as published"),
        ({"structured_rep": [], "sentence": "y"}, r"NLVR v1 \(read_nlvr\)"),
    ):
        with pytest.raises(ValueError, match=f"question_id: is missing, .*; it looks like .*{name}"):
            record(**values).number("question_id")
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"001": {"imageId": "1"}}))
    with pytest.raises(ValueError, match=r"a\.json must begin with \[, got '\{'; it looks like GQA"):
        list(JsonFile(path).records())
    path.write_text(json.dumps([{"img0": 1, "img1": 2}]))
    with pytest.raises(ValueError, match=r"must begin with \{, got '\['; it looks like the LXMERT authors' NLVR2"):
        list(JsonFile(path, "lines").records())
    for text, what in (("", "an empty file"), ("<html>", "'<'"), ("[1", r"'\['\.")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"must begin with \{{, got {what}"):
            list(JsonFile(path, "object").records())


@pytest.mark.parametrize("form", ["list", "lines", "object"])
def test_broken_files_are_named(form: json_files.Form, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    texts = {
        "list": ('[{"a": 1}, 5]', '[{"a": 1}, {"a"]', "entry 2"),
        "lines": ('{"a": 1}\n5\n', '{"a": 1}\n{"a"\n', "entry 2"),
        "object": ('{"x": {"a": 1}, "y": 5}', '{"x": {"a": 1}, "y": {"a"}', "entry '?y'?"),
    }
    other, broken, place = texts[form]
    path.write_text(other)
    with pytest.raises(ValueError, match=rf"a\.json, {place}: must be an object, got 5\. Is it the published file"):
        list(JsonFile(path, form).records())
    path.write_text(broken)
    with pytest.raises(ValueError, match=rf"a\.json, {place}: broken JSON .*Is it the published file, and whole\?"):
        list(JsonFile(path, form).records())


@pytest.mark.parametrize("form", ["list", "lines", "object"])
def test_files_in_another_coding_are_called_by_name(form: json_files.Form, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, name in (
        (gzip.compress(b"[{}]", mtime=0), "gzip: unpack it"),
        ("[{}]".encode("utf-16"), "UTF-16: save it as UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.json must begin with .*, got a file in {name}\. Is it the publish"):
            list(JsonFile(path, form).records())


def test_a_line_ends_where_lines_end_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "1\u2028\x85"}\r\n\n{"id": "2"}\n', encoding="utf-8", newline="")
    found = [(record.place, record.text("id")) for _, record in JsonFile(path, "lines", unit="line").records()]
    assert found == [("line 1", "1\u2028\x85"), ("line 3", "2")]


def named(_: str, record: Record) -> str:
    return record.text("id")


@pytest.mark.parametrize("buckets", [None, 3])
def test_an_id_that_came_before_is_named(buckets: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if buckets:  # different ids of one hash
        monkeypatch.setattr(json_files, "hash", lambda value: len(value) % buckets, raising=False)
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    paths[0].write_text(json.dumps([{"id": "1"}, {"id": "2"}]))
    paths[1].write_text(json.dumps([{"id": "3"}, {"id": "4"}]))
    files = [JsonFile(path) for path in paths]
    assert [identifier for identifier, _ in distinct(files, named)] == ["1", "2", "3", "4"]
    paths[1].write_text(json.dumps([{"id": "3"}, {"id": "2"}]))
    with pytest.raises(ValueError, match=r"b\.json, entry 2: the id '2' came before, in \S*a\.json, entry 2\. Name"):
        list(distinct(files, named))
    paths[1].write_text(json.dumps([{"id": "3"}, {"id": "3"}]))
    with pytest.raises(ValueError, match=r"came before, in \S*b\.json, entry 1\. An id must come once in a file"):
        list(distinct(files, named))
    with pytest.raises(ValueError, match=r"came before, in \S*a\.json, entry 1\. Name every file once"):
        list(distinct([files[0], files[0]], named))


def test_files_are_found_in_folders_inside(tmp_path: Path) -> None:
    def find(*names: str) -> list[Path]:
        return find_files(tmp_path, names, ("*",), "They come from https://example.org (5 MB).")

    with pytest.raises(FileNotFoundError, match=r"lacks a\.json, b\.json: They come from https://example\.org \(5 MB"):
        find("a.json", "b.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere is not there, so it lacks a\.json"):
        find_files(tmp_path / "nowhere", ["a.json"], (), "")
    for place in ("one", "two", "one/deeper"):
        (tmp_path / place).mkdir()
    (tmp_path / "one/deeper/a.json").touch()
    with pytest.raises(FileNotFoundError, match="lacks a"):
        find("a.json")
    (tmp_path / "one/a.json").touch()
    assert find("a.json") == [tmp_path / "one/a.json"]
    (tmp_path / "two/a.json").touch()
    with pytest.raises(ValueError, match=r"holds \S*one/a\.json and \S*two/a\.json: name the folder of one"):
        find("a.json")
    (tmp_path / "a.json").touch()
    assert find("a.json") == [tmp_path / "a.json"]
    with pytest.raises(ValueError, match=r"a\.json is a file: name the folder that holds b\.json"):
        find_files(tmp_path / "a.json", ["b.json"], (), "")


def test_tables_are_kept_as_long_as_files_stay_the_same(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.json", tmp_path / "cache"
    path.write_text("first")
    reads = []

    def read(told: Progress) -> Iterator[Question]:
        reads.append(path.read_text())
        told(5)
        yield Question(("1",), path.read_text(), question_id="1")

    for _ in range(2):
        assert write_table("set", [path], read, cache, progress=False)[0].text == "first"
    assert reads == ["first"]
    write_table("another split", [path], read, cache, progress=False)
    path.write_text("second")
    assert write_table("set", [path], read, cache, progress=False)[0].text == "second"
    assert reads == ["first", "first", "second"]
    assert len(list(cache.iterdir())) == 3
    write_table("set", [path], read, None, progress=False)
    assert len(reads) == 4


def test_a_file_without_question_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.json", tmp_path / "cache"
    path.write_text("[]")

    def read(told: Progress) -> Iterator[Question]:
        return (Question(("1",), record.text("text")) for _, record in distinct([JsonFile(path)], named, told))

    with pytest.raises(ValueError, match=r"a\.json: no question there\. Is it the published file"):
        write_table("set", [path], read, cache, progress=False)
    assert not list(cache.iterdir())
