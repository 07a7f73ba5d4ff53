import numpy as np
import pytest
from PIL import Image, ImageDraw

from lxmert.detection.panels import find_panels, ground_colour


def panels(image: Image.Image, panel_share: float = 0.5) -> list[tuple[int, int, int, int]]:
    return find_panels(np.asarray(image), 32, panel_share)


def sheet(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (130, 60)) -> Image.Image:
    image = Image.new("RGB", size, (128, 128, 128))
    for box in boxes:
        image.paste((211, 211, 211), box)
    return image


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 0, 60, 60), (70, 0, 130, 60)],
        [(0, 0, 40, 60), (45, 0, 85, 60), (90, 0, 130, 60)],
        [(5, 4, 100, 56)],
        [(2, 3, 62, 28), (2, 31, 128, 58), (70, 5, 120, 25)],
    ],
)
def test_panels_of_any_number_and_size(boxes: list[tuple[int, int, int, int]]) -> None:
    assert panels(sheet(*boxes)) == boxes
    assert panels(sheet(*boxes[::-1])) == boxes, "from left to right"


@pytest.mark.parametrize(("ground", "surround"), [("white", "black"), ("yellow", "navy"), ("#ddd", "#888")])
def test_panels_of_any_colours_lighter_than_what_is_around(ground: str, surround: str) -> None:
    image = Image.new("RGB", (100, 40), surround)
    image.paste(ground, (10, 5, 90, 35))
    assert panels(image) == [(10, 5, 90, 35)]
    dark = Image.new("RGB", (100, 40), ground)
    dark.paste(surround, (10, 5, 90, 35))
    assert panels(dark) == [(0, 0, 100, 40)]


def test_a_picture_without_panels_is_one() -> None:
    page = Image.new("RGB", (100, 40), "white")
    ImageDraw.Draw(page).ellipse((10, 0, 50, 39), fill="blue")
    assert panels(page) == [(0, 0, 100, 40)]
    ImageDraw.Draw(page).ellipse((50, 0, 90, 39), fill="blue")  # parts the white in three
    assert panels(page) == [(0, 0, 100, 40)]
    page.paste("black", (60, 10, 100, 40))  # at the edge, and darker than all around it
    assert panels(page) == [(0, 0, 100, 40)]
    assert panels(Image.new("RGB", (7, 5), "black")) == [(0, 0, 7, 5)]
    assert panels(Image.new("RGB", (1, 1))) == [(0, 0, 1, 1)]


def test_a_light_disc_is_no_panel() -> None:
    page = Image.new("RGB", (100, 100), "black")
    ImageDraw.Draw(page).ellipse((1, 1, 98, 98), fill="white")
    assert panels(page) == [(0, 0, 100, 100)]


def test_a_light_square_on_a_dark_page_is_a_shape_unless_it_is_large() -> None:
    page = Image.new("RGB", (100, 40), "black")
    page.paste("white", (10, 10, 40, 40))
    assert panels(page) == [(0, 0, 100, 40)]
    assert panels(page, panel_share=0.2) == [(10, 10, 40, 40)]


def test_shapes_and_noise_change_no_panel() -> None:
    boxes = [(0, 0, 60, 60), (70, 0, 130, 60)]
    image = sheet(*boxes)
    image.paste("black", (0, 30, 30, 60))  # in a corner
    image.paste((128, 128, 128), (60 - 20, 10, 60, 30))  # as dark as what is around, and at the edge
    image.paste("yellow", (100, 0, 130, 30))
    assert panels(image) == boxes
    for place in [(60, 5), (69, 50), (65, 20), (0, 0), (129, 59), (80, 40)]:
        image.putpixel(place, (255, 0, 255))
    assert panels(image) == boxes


def test_the_ground_is_the_most_frequent_colour_of_the_edge() -> None:
    panel = np.full((20, 30, 3), 200, dtype=np.uint8)
    panel[1:-1, 1:-1] = 7
    panel[0, :20] = 9
    assert ground_colour(panel).tolist() == [200, 200, 200]
