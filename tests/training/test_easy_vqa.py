from collections import Counter
from pathlib import Path

from lxmert.training import read_easy_vqa


def test_the_data_set_is_whole() -> None:
    data = read_easy_vqa(validation_images=200)
    assert len(data.images) == 5000
    assert len(data.training) + len(data.validation) == 38575
    assert len(data.test) == 9673
    assert len(data.answers) == 13
    assert {example.answer for example in data.training} == set(data.answers)
    assert Path(data.images["test/17"]).name == "17.png"
    assert Path(data.images["test/17"]).parent.parent.name == "test"


def test_no_image_is_in_two_splits() -> None:
    data = read_easy_vqa(validation_images=200)
    splits = [{example.image_id for example in part} for part in (data.training, data.validation, data.test)]
    assert len(splits[1]) == 200
    assert Counter(image_id for split in splits for image_id in split).most_common(1)[0][1] == 1
    assert set.union(*splits) <= data.images.keys()
    assert read_easy_vqa(200).validation == data.validation
    assert read_easy_vqa(200, seed=1).validation != data.validation
