"""Where pictures come from: ids that are unique and stay, and rows that are found again."""

import os
import pickle
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from lxmert.detection import ImageDataset, ImageFolder, ImageList, ImageMapping, open_images
from lxmert.processing.images import load_image


def picture(shade: int = 0) -> Image.Image:
    return Image.new("RGB", (4, 3), (shade, 0, 0))


def png(shade: int = 0) -> bytes:
    content = BytesIO()
    picture(shade).save(content, "png")
    return content.getvalue()


def shade_of(source: object, number: int) -> int:
    return load_image(source[number]).getpixel((0, 0))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(
        ("b.png", "train/COCO_train2014_000000000009.PNG", "train/a.b.png", "val/deep/x.png")
    ):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    (tmp_path / "images" / "notes.txt").write_text("x")
    (tmp_path / "images" / "val" / "labels.json").write_text("x")
    return tmp_path / "images"


def test_a_folder(folder: Path) -> None:
    source = ImageFolder(folder)
    assert source.ids.to_pylist() == ["b", "train/COCO_train2014_000000000009", "train/a.b", "val/deep/x"]
    assert [shade_of(source, i) for i in range(4)] == [0, 1, 2, 3]
    assert source.where(3) == str(folder / "val/deep/x.png")
    assert source.others == 2
    assert source.name == str(folder.resolve())
    assert ImageFolder(folder / "train").ids.to_pylist()[0] == "COCO_train2014_000000000009"
    assert ImageFolder(folder, ids="path").ids.to_pylist()[0] == "b.png"
    again = pickle.loads(pickle.dumps(source))
    assert again.ids == source.ids
    assert again[3] == source[3]


def test_links_are_followed_but_not_for_ever(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "y.png").write_bytes(png())
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "train" / "back").symlink_to(folder)
    ids = ImageFolder(folder).ids.to_pylist()
    assert "linked/y" in ids
    assert len(ids) == 5


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "é.png").write_bytes(png(1))
    try:
        (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(png(2))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = ImageFolder(tmp_path)
    assert sorted(source.ids.to_pylist()) == ["\\xff", "é"]
    assert sorted(shade_of(source, i) for i in range(2)) == [1, 2]


def test_two_files_of_one_id_are_refused_or_kept_apart(folder: Path) -> None:
    (folder / "b.jpg").write_bytes(png())
    with pytest.raises(ValueError, match=r"b\.jpg and .*b\.png would both be image 'b': keep their suffixes with ids="):
        ImageFolder(folder)
    assert ImageFolder(folder, ids="path").ids.to_pylist()[:2] == ["b.jpg", "b.png"]
    with pytest.raises(ValueError, match='ids must be "stem" or "path", got \'name\''):
        ImageFolder(folder, ids="name")  # type: ignore[arg-type]


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no picture"):
        ImageFolder(tmp_path)
    with pytest.raises(NotADirectoryError, match="There is no folder"):
        ImageFolder(tmp_path / "none")


def test_a_list(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"images/val/deep/x.png\r\n\n {folder}/b.png \nimages/gone.png")
    source = open_images(file)
    assert isinstance(source, ImageList)
    assert source.ids.to_pylist() == ["images/val/deep/x", f"{folder}/b", "images/gone"]
    assert [shade_of(source, i) for i in (0, 1)] == [3, 0]
    with pytest.raises(FileNotFoundError):
        load_image(source[2])
    file.write_text("images/b.png\nimages/b.png\n")
    with pytest.raises(ValueError, match="would both be image 'images/b'"):
        ImageList(file)


def test_a_picture_is_no_list(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"b\.png is no list of pictures, but perhaps a picture itself: give"):
        open_images(folder / "b.png")
    (tmp_path / "list.txt").write_bytes(png())
    with pytest.raises(ValueError, match="is no list of pictures"):
        open_images(tmp_path / "list.txt")


def make_dataset(folder: Path, **columns: list) -> datasets.Dataset:
    rows = [{"bytes": png(5), "path": None}, {"bytes": None, "path": str(folder / "b.png")}]
    rows += [{"bytes": b"broken", "path": None}, None]
    features = datasets.Features(image=datasets.Image())
    dataset = datasets.Dataset.from_dict({"image": rows}, features=features)
    for name, values in columns.items():
        dataset = dataset.add_column(name, values)
    return dataset


def test_a_data_set(folder: Path) -> None:
    source = ImageDataset(make_dataset(folder, image_id=[7, 8, 9, 10]), "set")
    assert source.ids.to_pylist() == ["7", "8", "9", "10"]
    assert [shade_of(source, i) for i in (0, 1)] == [5, 0]
    with pytest.raises(ValueError, match="No image can be read from 6 bytes"):
        load_image(source[2])
    with pytest.raises(ValueError, match="The row holds no image"):
        source[3]
    assert source.where(2) == "set, row 2"
    assert ImageDataset(make_dataset(folder), "set").ids.to_pylist() == ["0", "1", "2", "3"]
    assert ImageDataset(make_dataset(folder, key=list("abcd")), "s", id_column="key").ids.to_pylist() == list("abcd")
    by_path = datasets.Dataset.from_dict({"file": [str(folder / "b.png")]})
    assert ImageDataset(by_path, "set", image_column="file")[0] == str(folder / "b.png")


def test_rows_for_each_question(folder: Path) -> None:
    dataset = make_dataset(folder, image_id=["b", "a", "b", "a"])
    with pytest.raises(ValueError, match=r"Rows 0 and 2 of set are both image 'b': choose another id_column, or, if"):
        ImageDataset(dataset, "set")
    source = ImageDataset(dataset, "set", repeated="first")
    assert source.ids.to_pylist() == ["b", "a"]
    assert [shade_of(source, i) for i in (0, 1)] == [5, 0]
    assert source.where(1) == "set, row 1"


def test_columns_that_do_not_fit(folder: Path) -> None:
    dataset = make_dataset(folder, image_id=[1.5, 2, 3, 4], other=[1, 2, 3, 4])
    with pytest.raises(TypeError, match="id_column 'image_id' must hold strings or whole numbers, not "):
        ImageDataset(dataset, "set")
    with pytest.raises(ValueError, match="id_column 'none' is not among the columns image, image_id, other"):
        ImageDataset(dataset, "set", id_column="none")
    with pytest.raises(ValueError, match="image_column 'none' is not among the columns"):
        ImageDataset(dataset, "set", image_column="none")
    with pytest.raises(TypeError, match="image_column 'other' must hold images or their paths, not "):
        ImageDataset(dataset, "set", image_column="other")
    with pytest.raises(ValueError, match="Say which image_column to take: image columns are none, of image_id, other"):
        ImageDataset(dataset.remove_columns("image"), "set")
    with pytest.raises(ValueError, match="id_column 'key' has 1 rows without a value"):
        ImageDataset(make_dataset(folder, key=["a", None, "b", "c"]), "set", id_column="key")
    with pytest.raises(ValueError, match='repeated must be "raise" or "first", got \'last\''):
        ImageDataset(dataset, "set", repeated="last")  # type: ignore[arg-type]


def test_what_a_path_or_name_means(folder: Path, tmp_path: Path) -> None:
    assert isinstance(open_images(folder), ImageFolder)
    dataset = make_dataset(folder)
    dataset.save_to_disk(str(tmp_path / "saved"))
    assert isinstance(open_images(tmp_path / "saved"), ImageDataset)
    datasets.DatasetDict({"train": dataset, "test": dataset}).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(ValueError, match=r"split must be one of train, test in .*splits, got None"):
        open_images(tmp_path / "splits")
    assert open_images(tmp_path / "splits", split="test").name.endswith("splits (test)")
    with pytest.raises(ValueError, match="There is no file or folder somebody/images. .* say which split to take"):
        open_images("somebody/images")


def test_a_mapping(folder: Path) -> None:
    source = ImageMapping({"a": picture(9), "b": folder / "b.png"})
    assert source.ids.to_pylist() == ["a", "b"]
    assert shade_of(source, 0) == 9
    assert (source.where(0), source.where(1)) == ("a", str(folder / "b.png"))
    for images in ({}, {1: np.zeros((2, 2), np.uint8)}):
        with pytest.raises(ValueError, match="images must be pictures by image id, at least one, and every"):
            ImageMapping(images)
