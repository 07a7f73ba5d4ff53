"""Scenes found in pictures, against the scenes that the pictures were drawn of."""

import numpy as np
import pytest
from PIL import Image

from lxmert.detection import DrawnBoxesRegionExtractor
from lxmert.processing import Regions
from lxmert.scenes import BOXES, COLOURS, REGIONS, SLOTS, Scenes, random_scattered, random_towers
from lxmert.training.found_scenes import found_scenes
from lxmert.training.nlvr import scene_regions
from lxmert.training.nlvr_drawing import SURROUND, draw_scene, nlvr_prototypes
from tests.scenes.notation import scattered, scenes_of

FIELDS = ("shape", "colour", "size", "x", "y")
EXTRACTOR = DrawnBoxesRegionExtractor(crop_size=2)
WIDTH = EXTRACTOR.feature_dim


def objects(scenes: Scenes, row: int, box: int) -> list[tuple[int, ...]]:
    """What a box holds, in an order of its own."""
    return sorted(
        tuple(int(getattr(scenes, name)[row, box, slot]) for name in FIELDS)
        for slot in np.flatnonzero(scenes.present[row, box])
    )


def look_at(scenes: Scenes, **changes: object) -> list[Regions]:
    return EXTRACTOR([draw_scene(scenes.structured(row), **changes) for row in range(len(scenes))])  # type: ignore[arg-type]


def seen(scene: str) -> Regions:
    return look_at(scattered(scene))[0]


def replaced(regions: Regions, **changes: object) -> Regions:
    names = ("features", "boxes", "image_size", "object_ids", "attribute_ids", "object_names", "attribute_names")
    return Regions(**({name: getattr(regions, name) for name in names} | {"image_id": "one"} | changes))


@pytest.mark.parametrize("draw", [random_towers, random_scattered])
def test_drawn_scenes_are_found_again(draw) -> None:
    scenes = draw(12, np.random.default_rng(0))
    found, features = found_scenes(look_at(scenes))
    assert len(found) == 12
    for row in range(12):
        for box in range(BOXES):
            assert objects(found, row, box) == objects(scenes, row, box)
            count = found.height[row, box]
            assert found.present[row, box, :count].all(), "no gaps"
    assert features.shape == (12, REGIONS, WIDTH)
    assert features.dtype == np.float16


def test_boxes_are_those_of_the_picture_from_left_to_right() -> None:
    scenes = scenes_of("ys10@0,90 | bc20@30,40 | kt30@70,0")
    found, _ = found_scenes(look_at(scenes, order=(2, 0, 1)))
    assert [objects(found, 0, box) for box in range(3)] == [objects(scenes, 0, box) for box in (2, 0, 1)]


def test_features_stand_where_their_regions_do() -> None:
    scenes = scenes_of("ys10@0,90 kt30@30,40 | | bc20@70,0", "ybk b y")
    found, features = found_scenes(look_at(scenes))
    prototypes = nlvr_prototypes(EXTRACTOR).astype(np.float16)
    features = features.reshape(2, BOXES, SLOTS + 1, WIDTH)
    for row in range(2):
        for box in range(BOXES):
            for slot in range(SLOTS):
                if found.present[row, box, slot]:
                    shape, colour, size = (int(getattr(found, name)[row, box, slot]) for name in FIELDS[:3])
                    expected = prototypes[(shape * 3 + colour) * 3 + size // 10 - 1]
                    np.testing.assert_allclose(features[row, box, slot], expected, atol=2e-3)
                else:
                    assert not features[row, box, slot].any()
            assert np.array_equal(features[row, box, SLOTS], prototypes[27])


def test_larger_pictures_of_the_same_scene() -> None:
    scene = scattered("ys10@0,90 kt30@30,40 | | bc20@70,0")
    picture = draw_scene(scene.structured(0))
    framed = Image.new("RGB", (410, 120), SURROUND)
    framed.paste(picture, (5, 10))
    for larger in (picture.resize((800, 200)), framed):
        found, _ = found_scenes(EXTRACTOR([larger]))
        assert [objects(found, 0, box) for box in range(3)] == [objects(scene, 0, box) for box in range(3)]


def test_of_more_than_eight_shapes_the_first_eight_stay() -> None:
    scene = [
        [
            {"x_loc": 10 * i, "y_loc": 15 * (i % 3), "type": "square", "color": "Black", "size": 10}
            for i in range(0, 10, 2)
        ]
        + [{"x_loc": 10 * i, "y_loc": 70, "type": "circle", "color": "Yellow", "size": 10} for i in range(0, 10, 2)],
        [],
        [{"x_loc": 0, "y_loc": 0, "type": "triangle", "color": "#0099ff", "size": 30}],
    ]
    regions = EXTRACTOR([draw_scene(scene)])[0]
    assert len(regions.boxes) == 14
    found, features = found_scenes([regions])
    assert found.height.tolist() == [[8, 0, 1]]
    assert found.shape[0, 0].tolist() == [0] * 5 + [1] * 3
    assert np.array_equal(features[0, :8], regions.features[:8].astype(np.float16))
    assert np.array_equal(features[0, 8], regions.features[10].astype(np.float16)), "the box, behind all ten"
    assert objects(found, 0, 2) == [(2, 1, 30, 0, 0)]


def test_shapes_and_colours_that_nlvr_does_not_have() -> None:
    regions = seen("bc20@30,40 kt30@70,0 | | ")
    circle, names = int(np.argmax(regions.object_ids == 1)), ("red", "blue", "black")
    shapes, colours = regions.object_ids.copy(), regions.attribute_ids.copy()
    shapes[circle] = -1
    colours[colours >= 0] = 2
    for colour in (0, -1):
        colours[circle] = colour
        changed = replaced(regions, object_ids=shapes, attribute_ids=colours, attribute_names=names)
        found, _ = found_scenes([changed])
        assert objects(found, 0, 0) == [(0, 0, 20, 30, 40), (2, 2, 30, 70, 0)], "a yellow square"


def test_colours_go_by_name() -> None:
    regions = seen("bc20@30,40 | | ")
    assert regions.attribute_names is not None
    names = tuple(reversed(regions.attribute_names))
    ids = np.where(regions.attribute_ids < 0, -1, len(names) - 1 - regions.attribute_ids)
    found, _ = found_scenes([replaced(regions, attribute_names=names, attribute_ids=ids)])
    assert COLOURS[found.colour[0, 0, 0]] == "blue"


def test_no_pictures() -> None:
    found, features = found_scenes([])
    assert len(found) == 0
    assert features.shape == (0, REGIONS, 0)


def test_what_is_refused() -> None:
    structured = scene_regions("train/1-0", scattered("ys10@0,90 | | ").structured(0))
    with pytest.raises(ValueError, match="Regions of train/1-0 have no labels: take DrawnBoxesRegionExtractor's"):
        found_scenes([structured])
    regions = seen("ys10@0,90 | | ")
    shapes = regions.object_ids.copy()
    shapes[-1] = 0
    with pytest.raises(ValueError, match="There must be 3 boxes in a picture, one has 2"):
        found_scenes([regions, replaced(regions, object_ids=shapes)])
