import numpy as np
import pytest
from PIL import Image, ImageDraw

from lxmert.detection import ComponentRegionExtractor, ShapeRegionExtractor
from lxmert.processing import RegionExtractor


@pytest.fixture
def page() -> Image.Image:
    image = Image.new("RGB", (120, 40), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((2, 2, 33, 35), fill="red")
    pen.ellipse((42, 4, 72, 34), fill="#0099ff")
    pen.polygon([(80, 34), (112, 34), (96, 2)], fill="teal")
    return image


def test_shapes_and_colours(page: Image.Image) -> None:
    extractor = ShapeRegionExtractor()
    regions = extractor(page)[0]
    order = np.argsort(regions.boxes[:-1, 0])  # left to right
    assert [regions.describe(i) for i in order] == ["red rectangle", "blue circle", "teal triangle"]
    assert regions.object_names is extractor.object_names
    assert regions.attribute_names is extractor.attribute_names
    assert regions.object_ids[-1] == regions.attribute_ids[-1] == -1, "the whole image has no label"


def test_all_else_is_as_without_labels(page: Image.Image) -> None:
    labelled, plain = ShapeRegionExtractor(crop_size=4)(page)[0], ComponentRegionExtractor(crop_size=4)(page)[0]
    assert np.array_equal(labelled.features, plain.features)
    assert np.array_equal(labelled.boxes, plain.boxes)
    again = RegionExtractor.from_dict(ShapeRegionExtractor(crop_size=4).to_dict())
    assert isinstance(again, ShapeRegionExtractor)
    assert again.crop_size == 4


def test_an_empty_page_has_the_whole_image_only() -> None:
    regions = ShapeRegionExtractor()(Image.new("RGB", (20, 20), "white"))[0]
    assert regions.object_ids.tolist() == [-1]
