import gzip
from pathlib import Path

import pytest

from lxmert.processing.whole_json import is_unicode, read_json, read_utf8


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": ["é", 1]}', encoding="utf-8")
    assert read_json(path) == read_json(str(path)) == {"a": ["é", 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.json: broken JSON \(Expecting value"),
        (b'["a"', r"a\.json: broken JSON \(Expecting ',' delimiter: line 1 column 5"),
        (b"[" * 100_000, r"a\.json: broken JSON \(nested too deeply\)"),
        (b"[" + b"9" * 5000 + b"]", r"a\.json: broken JSON \(a whole number of too many digits\)"),
        (b'["a",\n"\xe9"]', r"a\.json, line 2: no UTF-8 \(byte 0xe9\): save it as UTF-8"),
        ('["a"]'.encode("utf-16"), r"a\.json, line 1: no UTF-8 \(UTF-16\): save it as UTF-8"),
        ('["a"]'.encode("utf-16-le"), r"a\.json, line 1: no UTF-8 \(UTF-16\): save it as UTF-8"),
        ('["a"]'.encode("utf-16-be"), r"a\.json, line 1: no UTF-8 \(UTF-16\): save it as UTF-8"),
        (gzip.compress(b'["a"]', mtime=0), r"a\.json: no UTF-8 \(gzip\): unpack it"),
    ],
)
def test_every_error_names_the_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json")


def test_folders_and_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder: name a file in it"):
        read_utf8(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_json(tmp_path / "absent.json")


def test_half_a_character_is_no_text() -> None:
    assert [is_unicode(text) for text in ("", "a", "é", "\U0001f600", "a\ud800", "\udc00")] == [True] * 4 + [False] * 2
