from pathlib import Path

import pytest
from PIL import Image

from lxmert import ComponentRegionExtractor
from lxmert.detection.image_sources import ImageFolder
from lxmert.processing import Question, QuestionTable, RegionStore
from lxmert.training.finetuning_data import RegionChoice, find_regions, join_questions
from lxmert.training.task_readers import QuestionSet
from tests.training.conftest import ColourTask
from tests.training.test_pretraining_collator import make_regions

ASKED = [Question((f"image {i}",), "red?", {"yes": 1.0}, str(i)) for i in range(3)]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        picture = Image.new("RGB", (16, 16), "white")
        picture.paste("red", (i, i, i + 8, i + 8))
        picture.save(folder / f"image {i}.png")
    return folder


def test_files_go_first_then_pictures_then_what_the_data_tell(pictures: Path, tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", [make_regions(i) for i in range(3)])
    told = [make_regions(i) for i in range(3)]
    everything = QuestionSet(ASKED, lambda: ImageFolder(pictures), lambda: told)
    extractor = ComponentRegionExtractor(crop_size=2)
    choice = RegionChoice(files=["store"])
    found = find_regions([everything], choice, tmp_path / "a", tmp_path, extractor)
    assert found["image 1"].features.tolist() == RegionStore(tmp_path / "store")["image 1"].features.tolist()
    found = find_regions([everything], RegionChoice(), tmp_path / "b", None, extractor, progress=False)
    assert found["image 1"].features.shape[1] == extractor.feature_dim
    assert [1, 1, 9, 9] in found["image 1"].boxes.tolist()
    found = find_regions([everything], RegionChoice(), tmp_path / "c")
    assert found["image 2"].boxes.tolist() == told[2].boxes.tolist()
    again = find_regions([QuestionSet(ASKED[:1], None, lambda: told[:1])], RegionChoice(), tmp_path / "c")
    assert len(again) == 3, "a store that holds more is taken as it is"  # type: ignore[arg-type]


def test_nothing_to_find_regions_in(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Where do the regions come from\? Name region files \(--regions"):
        find_regions([QuestionSet(ASKED)], RegionChoice(), tmp_path)
    with pytest.raises(FileNotFoundError, match="gone is not there"):
        find_regions([QuestionSet(ASKED)], RegionChoice(files=["gone"]), tmp_path)


def test_images_without_regions_are_named(colour_task: ColourTask, tmp_path: Path) -> None:
    asked = [*ASKED, *(Question((f"lost {i}", "image 0"), "red?", question_id=f"q{i}") for i in range(7))]
    choice = RegionChoice(files=[str(colour_task.store.path)])
    with pytest.raises(ValueError, match=r"7 of 10 images have no regions: 'lost 0' \(question 'q0'\).* and 2 more"):
        find_regions([QuestionSet(asked)], choice, tmp_path)
    with pytest.raises(ValueError, match=r"7 of 10 images have no regions: 'lost 0' \(question 'q0'\).* and 2 more"):
        find_regions([QuestionSet(QuestionTable.write(asked))], choice, tmp_path)


def test_choices_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="files or an extractor, got both"):
        RegionChoice(files=["a"], extractor="grid")
    with pytest.raises(ValueError, match=r"regions.checkpoint and regions.settings belong to regions.extractor"):
        RegionChoice(checkpoint="x")
    extractor = RegionChoice(extractor="grid", settings={"rows": 2, "columns": 3}).make_extractor()
    assert extractor is not None
    assert (extractor.settings()["rows"], extractor.settings()["columns"]) == (2, 3)
    assert RegionChoice().make_extractor() is None


def test_splits_are_joined() -> None:
    other = [Question(("image 9",), "blue?", {"no": 1.0}, "9")]
    tables = [QuestionTable.write(ASKED), QuestionTable.write(other)]
    for parts in ([ASKED, other], tables, [tables[0], other]):
        assert list(join_questions(parts)) == [*ASKED, *other]
    assert isinstance(join_questions(tables), QuestionTable)
    assert join_questions([ASKED]) is ASKED
    with pytest.raises(ValueError, match="'0'.*more than once"):
        join_questions([ASKED, ASKED])
    assert len(join_questions([ASKED, ASKED], same_ids=True)) == 6
    with pytest.raises(ValueError, match="There is no split"):
        join_questions([])


def test_pictures_of_some_images(pictures: Path) -> None:
    of_folder = QuestionSet(ASKED, lambda: ImageFolder(pictures))
    of_mapping = QuestionSet(ASKED, lambda: {"image 1": "somewhere.png"})
    assert of_folder.pictures(["image 1", "gone"]) == {"image 1": str(pictures / "image 1.png")}
    assert of_mapping.pictures({"image 1", "image 0"}) == {"image 1": "somewhere.png"}
    assert QuestionSet(ASKED).pictures(["image 1"]) == {}
