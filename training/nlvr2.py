"""NLVR2 (Suhr et al. 2019): sentences that are true or false of a pair of photographs.

The files are those of https://github.com/lil-lab/nlvr, folder `nlvr2/data`, as published.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import Progress
from lxmert.training.json_files import JsonFile, Record, distinct, find_files, write_table

Split = Literal[
    "train", "dev", "test1", "test2", "balanced_dev", "balanced_test1", "unbalanced_dev", "unbalanced_test1"
]  # fmt: skip
LABELS = {"True": "true", "False": "false"}
PLACES = tuple(f"{data}{part}" for data in ("", "data/", "nlvr2/data/") for part in ("", "balanced", "unbalanced"))
IDENTIFIER = re.compile(r"(\w+)-(\d+)-(\d+)-(\d+)")  # split, set of images, pair in it, sentence about it
ORIGIN = (
    "NLVR2's sentences (50 MB) come from https://github.com/lil-lab/nlvr, folder nlvr2/data: clone the repository and "
    "name it, its folder nlvr2/data, or the file itself."
)


def read_nlvr2(
    folder_or_file: str | Path, split: Split, cache_dir: str | Path | None = None, progress: bool = True
) -> QuestionTable:
    """Read the sentences of a split, with the answers "true" and "false".

    Image ids are the names of the published pictures without suffix, as in the original's features: of the example
    "dev-850-0-0" they are "dev-850-0-img0" (left) and "dev-850-0-img1" (right). `kinds` are "sentence", shared by the
    examples of one sentence as the official consistency groups them ("dev-850-0": set of images and number of the
    sentence, whatever the pair), and "directory", where the file tells in which folder the pictures lie.

    Args:
        folder_or_file: the repository, its folder `nlvr2/data`, or a file of the split.
        split: "train" (86,373 sentences), "dev" (6,982), "test1" (6,967), "test2" (6,970), or "balanced_dev",
            "balanced_test1", "unbalanced_dev", "unbalanced_test1", which are parts of them.
        cache_dir: folder for the table, opened again as long as the files stay the same; by default a temporary one.
        progress: show bars with time left.

    Raises:
        FileNotFoundError: the file is not there; says where it comes from.
        ValueError: another split; a line that is broken, lacks a field, has one of another type or is of another
            split, with its file and number; an identifier that comes twice.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}, got {split!r}.")
    file = Path(folder_or_file)
    if not file.is_file():
        file = find_files(file, [f"{split}.json"], PLACES, ORIGIN)[0]

    def read(told: Progress) -> Iterator[Question]:
        for identifier, record in distinct([JsonFile(file, "lines", unit="line")], _identifier, told):
            kinds = {"sentence": sentence_of(identifier, record)}
            if not identifier.startswith(f"{split.rpartition('_')[2]}-"):
                raise record.error("identifier", f"must be one of the split {split}, got {identifier!r}")
            if (directory := record.values.get("directory")) is not None:
                if isinstance(directory, bool) or not isinstance(directory, int | str):
                    raise record.error("directory", f"must be a number or a text, got {directory!r}")
                kinds["directory"] = str(directory)
            if (label := record.text("label")) not in LABELS:
                raise record.error("label", f'must be "True" or "False", got {label!r}')
            yield Question(
                image_ids_of(identifier), record.text("sentence"), {LABELS[label]: 1.0}, identifier, kinds=kinds
            )

    return write_table(f"NLVR2 {split}", [file], read, cache_dir, progress)


def image_ids_of(identifier: str) -> tuple[str, str]:
    """The left and the right image of an example.

    Example:
        >>> image_ids_of("dev-850-0-1")
        ('dev-850-0-img0', 'dev-850-0-img1')
    """
    pair = identifier.rpartition("-")[0]
    return f"{pair}-img0", f"{pair}-img1"


def sentence_of(identifier: str, record: Record) -> str:
    """The id of an example's sentence: its identifier without the number of the pair.

    Raises:
        ValueError: an identifier of another form.
    """
    parts = IDENTIFIER.fullmatch(identifier)
    if parts is None:
        raise record.error(
            "identifier", f"must be split, set, pair and sentence such as dev-850-0-1, got {identifier!r}"
        )
    split, images, _, sentence = parts.groups()
    return f"{split}-{images}-{sentence}"


def _identifier(_: str, record: Record) -> str:
    return record.text("identifier")
