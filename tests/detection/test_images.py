from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lxmert.detection.images import load_image


def test_every_kind_of_picture_becomes_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    red.save(tmp_path / "red.png")
    pictures = [
        red,
        np.asarray(red),
        tmp_path / "red.png",
        str(tmp_path / "red.png"),
        red.convert("P"),
        red.convert("CMYK"),
    ]
    for picture in pictures:
        loaded = load_image(picture)
        assert (loaded.mode, loaded.size) == ("RGB", (3, 2))
        assert np.abs(np.asarray(loaded).astype(int) - [255, 0, 0]).max() <= 1
    assert load_image(np.full((2, 3), 7, np.uint8)).getpixel((0, 0)) == (7, 7, 7)


def test_sixteen_bits_keep_their_brightness() -> None:
    image = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], dtype=np.uint16))
    assert np.asarray(load_image(image))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="mode F has no known range"):
        load_image(Image.new("F", (2, 2)))


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (1, 1), (0, 0, 0, 0))
    assert load_image(image).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (1, 1))
    palette.info["transparency"] = 0
    assert load_image(palette).getpixel((0, 0)) == (255, 255, 255)


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    photograph = Image.new("RGB", (4, 2))
    exif = photograph.getexif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    photograph.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (2, 4)


def test_bad_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for name in ("text.jpg", "empty.png", "cut.png"):
        with pytest.raises(ValueError, match=f"No image can be read from .*{name}"):
            load_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"There is no image file .*none\.png"):
        load_image(tmp_path / "none.png")
    with pytest.raises(TypeError, match="a PIL image, a uint8 array or a path, got int"):
        load_image(3)
    with pytest.raises(ValueError, match=r"got float64 \(2, 2, 3\)"):
        load_image(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"must hold pixels, got the shape \(0, 2, 3\)"):
        load_image(np.zeros((0, 2, 3), np.uint8))
