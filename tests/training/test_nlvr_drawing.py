import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lxmert.detection import DrawnBoxesRegionExtractor, GridRegionExtractor
from lxmert.training.nlvr import COLOURS, SHAPES, SIZES, Scene, scene_regions
from lxmert.training.nlvr_drawing import draw_scene, nlvr_prototypes
from tests.conftest import shared_folder


def item(shape: str, colour: str, size: int, x: int, y: int) -> dict[str, Any]:
    return {"type": shape, "color": COLOURS[colour], "size": size, "x_loc": x, "y_loc": y}


SCENE: Scene = [
    [item("square", "black", 20, 40, 59), item("square", "yellow", 20, 40, 80)],
    [],
    [item("triangle", "blue", 30, 70, 0), item("circle", "blue", 10, 70, 90)],
]


def random_scene(generator: np.random.Generator) -> Scene:
    """Up to seven objects in each box that do not overlap, from top to bottom."""
    scene: Scene = []
    for _ in range(3):
        taken, objects = np.zeros((100, 100), dtype=bool), []
        for _ in range(generator.integers(0, 8)):
            size = int(generator.choice(SIZES))
            x, y = (int(place) for place in generator.integers(0, 101 - size, 2))
            if not taken[y : y + size, x : x + size].any():
                taken[y : y + size, x : x + size] = True  # may touch
                objects.append(
                    item(str(generator.choice(SHAPES[:3])), str(generator.choice(list(COLOURS))), size, x, y)
                )
        scene.append(sorted(objects, key=lambda one: (one["y_loc"], one["x_loc"])))
    return scene


def test_pixels_by_hand() -> None:
    picture = draw_scene(SCENE)
    assert (picture.mode, picture.size) == ("RGB", (400, 100))
    assert picture.getpixel((120, 50)) == (128, 128, 128)
    assert picture.getpixel((200, 50)) == (211, 211, 211)
    assert picture.getpixel((40, 59)) == (0, 0, 0)
    assert picture.getpixel((39, 59)) == (211, 211, 211)
    assert picture.getpixel((59, 99)) == (255, 255, 0)
    assert picture.getpixel((385, 29)) == (0, 153, 255)
    assert picture.getpixel((384, 0)) == (158, 196, 222)  # a quarter of the pixel, the triangle's tip


def test_boxes_in_another_order() -> None:
    picture, moved = np.asarray(draw_scene(SCENE)), np.asarray(draw_scene(SCENE, order=(2, 0, 1)))
    for place, box in enumerate((2, 0, 1)):
        assert np.array_equal(moved[:, 150 * place : 150 * place + 100], picture[:, 150 * box : 150 * box + 100])


def test_the_extractor_finds_what_was_drawn() -> None:
    generator, extractor = np.random.default_rng(0), DrawnBoxesRegionExtractor()
    for number in range(40):
        scene = random_scene(generator)
        [regions], expected = extractor(draw_scene(scene)), scene_regions(str(number), scene)
        assert regions.boxes.tolist() == expected.boxes.tolist(), scene
        assert regions.object_ids is not None
        assert [extractor.object_names[i] for i in regions.object_ids] == [SHAPES[i] for i in expected.object_ids]  # type: ignore[union-attr]
        colours = [regions.describe(i).split()[0] for i in range(len(regions))]
        assert colours == [[*COLOURS, "box"][i] for i in expected.attribute_ids]  # type: ignore[union-attr]


def test_prototypes_are_what_is_found_in_scenes() -> None:
    extractor = DrawnBoxesRegionExtractor()
    prototypes = nlvr_prototypes(extractor)
    assert prototypes.shape == (28, 194)
    assert prototypes.dtype == np.float32
    generator = np.random.default_rng(1)
    for number in range(10):
        scene = random_scene(generator)
        [regions], expected = extractor(draw_scene(scene)), scene_regions(str(number), scene)
        features = expected.features  # one-hot: four shapes, three colours, three sizes
        shape, colour, size = (features[:, a:b].argmax(axis=1) for a, b in ((0, 4), (4, 7), (7, 10)))
        rows = np.where(shape == 3, 27, (shape * 3 + colour) * 3 + size)
        assert np.abs(regions.features - prototypes[rows]).max() < 0.05
    assert prototypes[27].tolist() == pytest.approx([(211 / 255 - 0.5) * 4] * 192 + [1, 1])
    assert prototypes[0, -2:].tolist() == pytest.approx([0.1, 0.1])


def test_wrong_scenes_and_extractors() -> None:
    with pytest.raises(ValueError, match="scene holds what NLVR does not have"):
        draw_scene([[item("square", "black", 15, 0, 0)], [], []])
    with pytest.raises(ValueError, match="scene must have 3 boxes, got 2"):
        draw_scene(SCENE[:2])
    for wrong in (item("square", "black", 30, 71, 0), item("square", "black", 30, 0, 71)):
        with pytest.raises(ValueError, match="must lie .*inside"):
            draw_scene([[wrong], [], []])
    with pytest.raises(ValueError, match="must lie at whole pixels inside its box"):
        draw_scene([[SCENE[0][0] | {"x_loc": 1.5}], [], []])
    for order in ((0, 1), (0, 1, 1), (1, 2, 3)):
        with pytest.raises(ValueError, match="order must name each of the boxes 0, 1 and 2 once, got"):
            draw_scene(SCENE, order)
    with pytest.raises(ValueError, match="extractor must find an object and three boxes in a drawing, but finds"):
        nlvr_prototypes(GridRegionExtractor())
    with pytest.raises(ValueError, match=r"but finds .* where there is \{.*'size': 10\}: use DrawnBoxes"):
        nlvr_prototypes(DrawnBoxesRegionExtractor(minimum_area=120))


def test_drawings_look_like_the_real_pictures() -> None:
    folder = shared_folder("data/nlvr") / "dev"
    lines = [json.loads(line) for line in (folder / "dev.json").read_text().splitlines()][::40]
    extractor = DrawnBoxesRegionExtractor()
    for line in lines:
        path = folder / "images" / line["directory"] / f"dev-{line['identifier']}-0.png"
        with Image.open(path) as file:
            real = np.asarray(file.convert("RGB")).astype(int)
        drawing = draw_scene(line["structured_rep"])
        assert np.abs(real - np.asarray(drawing)).mean() < 0.1
        [here], [there] = extractor(drawing), extractor(path)
        assert np.array_equal(here.boxes, there.boxes)
        assert np.abs(here.features - there.features).mean() < 0.02
