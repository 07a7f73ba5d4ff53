import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lxmert import Regions

BOXES = [[0, 0, 40, 30], [10, 5, 20, 25]]


def make(**changes: object) -> Regions:
    return Regions(**({"features": np.ones((2, 3)), "boxes": BOXES, "image_size": (30, 40)} | changes))


def test_arrays_tensors_and_lists_are_taken() -> None:
    for features in (np.ones((2, 3)), torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True), [[1, 1, 1]] * 2):
        regions = make(features=features, object_ids=torch.tensor([4, 7]), object_scores=[0.5, 0.25])
        assert regions.features.dtype == regions.boxes.dtype == regions.object_scores.dtype == np.float32
        assert regions.object_ids.tolist() == [4, 7]
        assert regions.features.tolist() == [[1, 1, 1], [1, 1, 1]]
        assert len(regions) == 2


def test_boxes_are_divided_by_width_and_height() -> None:
    expected = [[0, 0, 1, 1], [0.25, 5 / 30, 0.5, 25 / 30]]
    np.testing.assert_allclose(make().normalized_boxes, expected, rtol=1e-6)


def test_rounding_beyond_the_border_is_pulled_back() -> None:
    boxes = make(boxes=[[-0.0005, 0, 40.003, 30.0], [0, 0, 20, 30]]).boxes
    assert boxes.tolist() == [[0, 0, 40, 30], [0, 0, 20, 30]]


def test_scores_are_pulled_back_to_probabilities() -> None:
    regions = make(object_scores=[1.00005, 0.5], attribute_scores=[-0.00005, 1], attribute_ids=[-1, 0])
    assert regions.object_scores.tolist() == [1, 0.5]
    assert regions.attribute_scores.tolist() == [0, 1]
    assert regions.attribute_ids.tolist() == [-1, 0]


NAMES = {"object_ids": [1, -1], "object_names": ("bird", "car"), "attribute_ids": [0, 2]}


def test_names_are_shared_not_copied() -> None:
    names = tuple(f"class {i}" for i in range(1600))
    regions = make(object_ids=[4, -1], object_names=names, attribute_names=["red", "blue"])
    assert regions.object_names is names
    assert regions.attribute_names == ("red", "blue")
    assert make(object_ids=[4, 1599], object_names=names).describe(1) == "class 1599"


def test_of_a_tuple_only_the_names_in_use_are_looked_at() -> None:
    assert make(object_ids=[0, 1], object_names=("bird", "car", None)).describe(1) == "car"


def test_a_region_is_described_by_what_is_known() -> None:
    colours = ("red", "green", "blue")
    named = make(**NAMES, attribute_names=colours, object_scores=[0.875, 0.5], attribute_scores=[0.25, 0.75])
    assert [named.describe(i) for i in (0, 1, -1)] == ["red car 0.88", "blue 0.75", "blue 0.75"]
    assert make(**NAMES).describe(0) == "attribute 0 car"
    assert make(object_ids=[5, -1], object_scores=[1, 0]).describe(0) == "object 5 1.00"
    assert make(object_ids=[5, -1], object_scores=[1, 0]).describe(1) == ""
    assert make(object_names=("bird",)).describe(0) == ""
    with pytest.raises(IndexError, match="Region 2 is not among the 2 regions"):
        make().describe(2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"features": np.ones(3)}, ValueError, r"features must be an array of rank 2, got the shape \(3,\)"),
        ({"features": "abc"}, TypeError, r"features must be an array of numbers of rank 2"),
        ({"features": np.full((2, 3), np.nan)}, ValueError, r"features holds NaN or infinite values"),
        ({"features": np.ones((0, 3)), "boxes": np.ones((0, 4))}, ValueError, r"features holds zero regions"),
        ({"features": np.ones((3, 3))}, ValueError, r"boxes must have the shape \(3, 4\), .* got \(2, 4\)"),
        ({"boxes": [[0, 0, 1], [0, 0, 1]]}, ValueError, r"boxes must have the shape \(2, 4\), .* got \(2, 3\)"),
        (
            {"boxes": [[0, 0, 41, 30], BOXES[1]]},
            ValueError,
            r"inside the image of 30 x 40 pixels.*row 0 is \[0.0, 0.0, 41",
        ),
        ({"boxes": [BOXES[0], [-2, 0, 4, 3]]}, ValueError, r"inside the image .*row 1 is \[-2.0"),
        ({"boxes": [BOXES[0], [20, 5, 10, 25]]}, ValueError, r"x1 <= x2 and y1 <= y2, but row 1 .* width, height"),
        (
            {"boxes": [[0, 0, 1, 1], [0.2, 0.1, 0.5, 0.5]]},
            ValueError,
            r"boxes must be in pixels, but all lie in \[0, 1\]",
        ),
        ({"boxes": [[0, 0, np.inf, 1], BOXES[1]]}, ValueError, r"boxes holds NaN or infinite"),
        ({"image_size": (0, 40)}, ValueError, r"image_size must be at least one pixel each way, got 0 x 40"),
        ({"image_size": 30}, TypeError, r"image_size must be \(height, width\) in pixels, got 30"),
        ({"image_id": 5}, TypeError, r"image_id must be a string, got 5"),
        ({"object_ids": [1]}, ValueError, r"object_ids has 1 entries for 2 regions"),
        ({"attribute_scores": [0.1, np.nan]}, ValueError, r"attribute_scores holds NaN"),
        ({"object_scores": [5, -3]}, ValueError, r"object_scores must lie in \[0, 1\], but row 0 is 5: .*softmax"),
        ({"attribute_scores": [0.5, -3e-4]}, ValueError, r"attribute_scores must lie in .* row 1 is -0.0003"),
        ({"object_ids": [0, -7]}, ValueError, r"object_ids must be at least 0, or -1 for no label, but row 1 is -7: "),
        ({"attribute_ids": [-2, 0]}, ValueError, r"attribute_ids must be at least 0, .*row 0 is -2: "),
        (
            {"object_ids": [0, 2], "object_names": ("bird", "car")},
            ValueError,
            r"object_ids must lie below 2, the number of object_names, but row 1 is 2: take the names of",
        ),
        ({"attribute_ids": [0, 0], "attribute_names": ()}, ValueError, r"attribute_ids must lie below 0, .*row 0 is 0"),
        ({"object_names": "car"}, TypeError, r"object_names must be a sequence of strings, .* got 'car'"),
        ({"object_names": 3}, TypeError, r"object_names must be a sequence of strings, .* got 3"),
        ({"attribute_names": ["red", 4]}, TypeError, r"attribute_names must be strings, but number 1 is 4"),
        ({"object_ids": [1, 0], "object_names": ("bird", None)}, TypeError, r"object_names .* number 1 is None"),
    ],
)
def test_bad_regions_are_refused(changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)


def test_a_one_pixel_image_is_an_image() -> None:
    assert make(features=[[1.0]], boxes=[[0, 0, 1, 1]], image_size=(1, 1)).normalized_boxes.tolist() == [[0, 0, 1, 1]]


@given(
    height=st.integers(3, 2000),
    width=st.integers(3, 2000),
    corners=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=5),
)
def test_normalized_boxes_lie_in_the_unit_square(height: int, width: int, corners: list[tuple]) -> None:
    unit = np.sort(np.array(corners, dtype=np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes = np.concatenate([unit * [width, height, width, height], [[0, 0, width, height]]])
    regions = Regions(features=np.zeros((len(boxes), 1)), boxes=boxes, image_size=(height, width))
    normalized = regions.normalized_boxes
    assert (normalized >= 0).all()
    assert (normalized <= 1).all()
    np.testing.assert_allclose(normalized[:-1], unit, atol=1e-5)
