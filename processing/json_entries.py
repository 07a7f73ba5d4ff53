"""The entries of JSON files one after the other, however long the file: memory holds one of them and a chunk."""

import json
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

CHUNK_BYTES = 1 << 20
LONGEST_ENTRY = 1 << 26
SPACE = " \t\r\n"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
GZIP_MARK = b"\x1f\x8b"
Progress = Callable[[int], Any]  # told how many bytes were read


class BrokenJsonError(ValueError):
    """A file that cannot be read on.

    Args:
        place: file and entry.
        reason: what is wrong there.
    """

    def __init__(self, place: str, reason: str):
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.place}: broken JSON ({self.reason}); mend the file."


def reason_of(error: Exception) -> str:
    """What is wrong with a text that json refuses, in a few words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "a whole number of too many digits"


def coding_of(content: bytes) -> str:
    """What a file is whose content, or its beginning, is no UTF-8: "gzip", "UTF-16"; nothing if that does not show."""
    if content.startswith(GZIP_MARK):
        return "gzip"
    return "UTF-16" if content.startswith(UTF_16_MARKS) or b"\0" in content[:2] else ""


def first_character(path: Path) -> str:
    """What a file begins with, after a byte order mark and spaces; nothing for an empty file."""
    with path.open("rb") as file:
        return file.read(CHUNK_BYTES).lstrip(b"\xef\xbb\xbf" + SPACE.encode())[:1].decode(errors="replace")


def line_entries(path: Path, progress: Progress) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not empty; of a line that is no JSON, a `ValueError` in the value's place.

    Raises:
        BrokenJsonError: a line of 64 MB.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_ENTRY), b""), start=1):
            progress(len(line))
            if len(line) == LONGEST_ENTRY:
                raise BrokenJsonError(f"{path}, row {number}", f"no end of the line within {LONGEST_ENTRY:,} bytes")
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    value = ValueError(reason_of(error))
                yield number, value


def list_entries(
    path: Path,
    progress: Progress,
    field: str | None = None,
    others: Callable[[str, Any], Any] = lambda name, value: None,
) -> Iterator[tuple[int, Any]]:
    """Number, from 1, and value of each entry of a list.

    Args:
        path: holds the list, or an object with the list in one of its fields; its other fields are passed over.
        progress: told how many bytes were read.
        field: of the object.
        others: told names and values of the object's other fields, as they come.

    Raises:
        BrokenJsonError: no list where it should be, an entry that is no JSON, or a file that breaks off or goes on
            after its end.
    """
    with _Cursor(path, progress) as cursor:
        if field is not None:
            _enter(cursor, field, others)
        cursor.take("[", "must begin with [" if field is None else f"{field} must be a list")
        number, separator = 0, cursor.take_if("]") or ","
        while separator == ",":
            number += 1
            yield number, cursor.value(f"entry {number}")
            separator = cursor.take("],", "the list must end with ]", f"after entry {number}")
        while field is not None and cursor.take(",}", "the object must end with }", f"after {field}") == ",":
            others(cursor.key(f"after {field}"), cursor.value(f"after {field}"))
        cursor.end(f"after entry {number}")


def object_entries(path: Path, progress: Progress) -> Iterator[tuple[str, Any]]:
    """Name and value of each field of an object.

    Raises:
        BrokenJsonError: no object, a field that is no JSON, or a file that breaks off or goes on after its end.
    """
    with _Cursor(path, progress) as cursor:
        cursor.take("{", "must begin with {")
        place, separator = "before the first entry", cursor.take_if("}") or ","
        while separator == ",":
            name = cursor.key(place)
            place = f"entry {name!r}"
            yield name, cursor.value(place)
            place = f"after entry {name!r}"
            separator = cursor.take("},", "the object must end with }", place)
        cursor.end(place)


def _enter(cursor: "_Cursor", field: str, others: Callable[[str, Any], Any]) -> None:
    """Go to the value of an object's field."""
    cursor.take("{", "must begin with {")
    before: list[str] = []
    separator = cursor.take_if("}") or ","
    while separator == ",":
        name = cursor.key(f"before {field}")
        if name == field:
            return
        before.append(name)
        others(name, cursor.value(f"entry {name!r}"))
        separator = cursor.take("},", "the object must end with }", f"after entry {name!r}")
    found = ", ".join(map(repr, before[:5])) + (" ..." if len(before) > 5 else "")
    raise BrokenJsonError(cursor.name, f"the object has no field {field!r} but {found or 'none at all'}")


class _Cursor:
    """A place in a file of JSON."""

    def __init__(self, path: Path, progress: Progress):
        self.name = str(path)
        self._progress = progress
        self._raw = path.open("rb")
        self._file = TextIOWrapper(self._raw, encoding="utf-8-sig", errors="surrogateescape")
        self._decoder = json.JSONDecoder()
        self._rest, self._position, self._bytes_read = "", 0, 0

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def value(self, place: str) -> Any:
        """The value that begins here."""
        while True:
            self._next()
            try:
                value, end = self._decoder.raw_decode(self._rest, self._position)
                if end + 2 < len(self._rest) or not self._fill():  # a number may go on in the next chunk, as 1e- does
                    break
            except json.JSONDecodeError as error:
                if len(self._rest) - self._position > LONGEST_ENTRY or not self._fill():
                    raise BrokenJsonError(f"{self.name}, {place}", error.msg) from error
            except (ValueError, RecursionError) as error:  # more of the file does not mend it
                raise BrokenJsonError(f"{self.name}, {place}", reason_of(error)) from error
        self._position = end
        return value

    def key(self, place: str) -> str:
        """The name of the field that begins here."""
        name = self.value(place) if self._next() == '"' else None
        if name is None or self._next() != ":":
            raise BrokenJsonError(f"{self.name}, {place}", 'a field must begin with "name":')
        self._position += 1
        return name

    def take(self, characters: str, otherwise: str, place: str = "at its beginning") -> str:
        """The next character, which must be one of these."""
        found = self._next()
        if not found or found not in characters:
            raise BrokenJsonError(f"{self.name}, {place}", f"{otherwise}, got {found or 'the end of the file'}")
        self._position += 1
        return found

    def take_if(self, character: str) -> str:
        """The next character, if it is this one."""
        if self._next() != character:
            return ""
        self._position += 1
        return character

    def end(self, place: str) -> None:
        """Nothing may come any more."""
        if found := self._next():
            raise BrokenJsonError(f"{self.name}, {place}", f"the file must end there, got {found}")

    def _next(self) -> str:
        """The character at the next place that is no space; nothing at the end."""
        while True:
            while self._position < len(self._rest) and self._rest[self._position] in SPACE:
                self._position += 1
            if self._position < len(self._rest) or not self._fill():
                return self._rest[self._position : self._position + 1]

    def _fill(self) -> bool:
        size = max(CHUNK_BYTES, len(self._rest) - self._position)  # doubling, so that long entries stay linear
        chunk = self._file.read(size)
        if not chunk:
            return False
        self._rest, self._position = self._rest[self._position :] + chunk, 0
        self._progress(self._raw.tell() - self._bytes_read)
        self._bytes_read = self._raw.tell()
        return True
