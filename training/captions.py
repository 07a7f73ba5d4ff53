"""Captions of COCO and Flickr30k in the splits of Karpathy & Fei-Fei (2015), the usual ones for retrieval."""

from collections.abc import Iterator
from pathlib import Path

from lxmert.processing import Question, QuestionTable
from lxmert.processing.json_entries import Progress
from lxmert.training.json_files import JsonFile, find_files, write_table

SPLITS = {"train": ("train", "restval"), "validation": ("val",), "test": ("test",)}  # restval: COCO's other half of val
FILES = ("dataset_coco.json", "dataset_flickr30k.json", "dataset_flickr8k.json")
ORIGIN = (
    "captions with their splits come from https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip "
    "(36 MB): dataset_coco.json, dataset_flickr30k.json and dataset_flickr8k.json; name the folder that holds one of "
    "them, or the file."
)


def read_captions(
    folder_or_file: str | Path, split: str, cache_dir: str | Path | None = None, progress: bool = True
) -> QuestionTable:
    """Read the captions of one split; image ids are the names of the pictures' files without suffix.

    Args:
        folder_or_file: one of the three files, or a folder that holds one of them.
        split: "train" (with COCO's "restval"), "validation" or "test".
        cache_dir: folder for the table, opened again as long as the file stays the same; by default a temporary one.
        progress: show bars with time left.

    Raises:
        FileNotFoundError: no such file; says where it comes from.
        ValueError: another split, several files, or an entry that cannot be used, with its file, number and field.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    file = Path(folder_or_file)
    if not file.is_file():
        there = [name for name in FILES if (file / name).is_file()]
        if len(there) > 1:
            raise ValueError(f"{file} holds {' and '.join(there)}: name one of the files.")
        file = find_files(file, there or FILES[:1], (), ORIGIN)[0]

    def read(told: Progress) -> Iterator[Question]:
        for _, record in JsonFile(file, field="images").records(told):
            if record.text("split") not in SPLITS[split]:
                continue
            image_id = Path(record.text("filename")).stem
            for position, _ in enumerate(record.values_of("sentences", dict)):
                sentence = record._replace(
                    place=f"{record.place}, sentences[{position}]", values=record.values["sentences"][position]
                )
                yield Question((image_id,), sentence.text("raw"), question_id=str(sentence.number("sentid")))

    return write_table(f"captions {split}", [file], read, cache_dir, progress)
