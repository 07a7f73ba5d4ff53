import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxmert.processing import json_entries
from lxmert.processing.json_entries import (
    BrokenJsonError,
    first_character,
    line_entries,
    list_entries,
    object_entries,
)
from lxmert.processing.record_rows import FieldNames, rows_of_file

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def nothing(count: int) -> None:
    pass


def written(folder: Path, text: str) -> Path:
    path = folder / "a.json"
    path.write_text(text, encoding="utf-8")
    return path


@given(values=st.lists(VALUES, max_size=5), chunk=st.integers(1, 9), indent=st.sampled_from([None, 3]))
def test_values_are_those_of_the_json_module(
    values: list, chunk: int, indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("entries")
    named = {f"{number}é": value for number, value in enumerate(values)}
    before, after = {"info": {"questions": [1]}, "year": 17}, {"license": [0.5]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_entries, "CHUNK_BYTES", chunk)
        for ascii_only in (True, False):

            def text(content: object, ascii_only: bool = ascii_only) -> Path:
                return written(folder, json.dumps(content, indent=indent, ensure_ascii=ascii_only))

            assert list(list_entries(text(values), nothing)) == list(enumerate(values, start=1))
            assert list(object_entries(text(named), nothing)) == list(named.items())
            path = text(before | {"questions": values} | after)
            assert list(list_entries(path, nothing, "questions")) == list(enumerate(values, start=1))


def test_progress_adds_up_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "CHUNK_BYTES", 64)
    path = written(tmp_path, json.dumps(["é" * number for number in range(100)], ensure_ascii=False))
    told: list[int] = []
    assert len(list(list_entries(path, told.append))) == 100
    assert sum(told) == path.stat().st_size
    lines = written(tmp_path, '{"a": 1}\n\n{"a": 2}\n')
    told.clear()
    assert list(line_entries(lines, told.append)) == [(1, {"a": 1}), (3, {"a": 2})]
    assert sum(told) == lines.stat().st_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.json, at its beginning: broken JSON \(must begin with \{, got the end of the file\); mend the file"),
        ("[1]", r"at its beginning: broken JSON \(must begin with \{, got \["),
        ('{"a": 1', "after entry 'a': .*must end with }, got the end of the file"),
        ('{"a": 1]', "after entry 'a': .*must end with }, got ]"),
        ('{"a": 1} 2', "after entry 'a': .*the file must end there, got 2"),
        ('{"a" 1}', 'before the first entry: .*a field must begin with "name":'),
        ('{"a": 1, 2: 3}', "after entry 'a': .*a field must begin"),
        ('{"a": 1, "b": tru', "entry 'b': .*Expecting value"),
        ('{"a": ' + "[" * 100_000, "entry 'a': .*nested too deeply"),
    ],
)
def test_broken_objects_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenJsonError, match=message):
        list(object_entries(written(tmp_path, text), nothing))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [], "b": {}, "c": 1, "d": 1, "e": 1, "f": 1}', "no field 'questions' but 'a', 'b', 'c', 'd', 'e' ..."),
        ("{}", "no field 'questions' but none at all"),
        ('{"questions": {}}', r"questions must be a list, got \{"),
        ('{"questions": [1, 2}', "after entry 2: .*the list must end with ], got }"),
        ('{"questions": [1, 2]', "after questions: .*the object must end with }, got the end"),
        ('{"questions": [1, 2], "license": ', "after questions: .*Expecting value"),
        ('{"questions": [1, 2]}}', "after entry 2: .*the file must end there"),
    ],
)
def test_a_broken_object_around_a_list_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenJsonError, match=message):
        list(list_entries(written(tmp_path, text), nothing, "questions"))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "LONGEST_ENTRY", 20)
    path = written(tmp_path, '{"a": 1}\n{"a": "' + "x" * 30)
    entries = line_entries(path, nothing)
    assert next(entries) == (1, {"a": 1})
    with pytest.raises(BrokenJsonError, match="row 2: .*no end of the line within 20 bytes"):
        next(entries)


def test_first_characters(tmp_path: Path) -> None:
    assert first_character(written(tmp_path, "\ufeff \n[1]")) == "["
    assert first_character(written(tmp_path, " \n")) == ""


@pytest.mark.parametrize("inner", ["9" * 5000, "[" * 100_000])
def test_what_more_of_the_file_does_not_mend_is_named_at_once(inner: str, tmp_path: Path) -> None:
    reason = "a whole number of too many digits" if inner[0] == "9" else "nested too deeply"
    path, counts = written(tmp_path, f'[{{"a": 1}}, {{"a": {inner}}}, ' + " " * 5_000_000), list[int]()
    with pytest.raises(BrokenJsonError, match=rf"a\.json, entry 2: broken JSON \({reason}\)"):
        list(list_entries(path, counts.append))
    assert sum(counts) < 3_000_000, "not read to its end"
    path = written(tmp_path, f'{{"x": {inner}}}')
    with pytest.raises(BrokenJsonError, match=rf"entry 'x': broken JSON \({reason}\)"):
        list(object_entries(path, nothing))
    path = written(tmp_path, f'{{"a": 1}}\n{{"a": {inner}}}\n{{"a": 3}}')
    values = dict(line_entries(path, nothing))
    assert (values[1], str(values[2]), values[3]) == ({"a": 1}, reason, {"a": 3})
    path = path.rename(tmp_path / "a.jsonl")
    rows = list(rows_of_file(path, FieldNames(), "own", nothing, nothing))
    assert [str(row) for row in rows if reason in str(row)] == [str(rows[1])]
