import io
import os
import random
import struct
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lxmert.detection import ComponentRegionExtractor, GridRegionExtractor, ShapeRegionExtractor
from lxmert.processing.images import load_image

WHITE = (255, 255, 255)


def content(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(size: tuple[int, int], bits: int, colour_type: int, rows: bytes, transparent: bytes = b"") -> bytes:
    """What Pillow does not write: 16 bits in several channels, 2 and 4 bits of grey, a transparent value of these."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0))
    value = png_chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + value + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def tiff_with_16_bit_rgb(pixel: tuple[int, int, int]) -> bytes:
    """An uncompressed TIFF file of one pixel."""
    long, short = 4, 3
    entries = [
        (256, long, 1, 1),
        (257, long, 1, 1),
        (258, short, 3, 134),  # bits of each channel, behind the directory
        (259, short, 1, 1),
        (262, short, 1, 2),
        (273, long, 1, 140),  # the pixel
        (277, short, 1, 3),
        (278, long, 1, 1),
        (279, long, 1, 6),
        (284, short, 1, 1),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0)
    return head + struct.pack("<HHH", 16, 16, 16) + struct.pack("<HHH", *pixel)


def test_every_kind_of_picture_becomes_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    red.save(tmp_path / "red.png")
    pictures = [
        red,
        np.asarray(red),
        tmp_path / "red.png",
        str(tmp_path / "red.png"),
        (tmp_path / "red.png").read_bytes(),
        *(red.convert(mode) for mode in ("P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")),
        content(red.convert("CMYK"), "JPEG", quality=100),  # as Adobe writes them: inverted
        content(red.convert("CMYK"), "TIFF"),
    ]
    for picture in pictures:
        loaded = load_image(picture)
        assert (loaded.mode, loaded.size) == ("RGB", (3, 2))
        assert np.abs(np.asarray(loaded).astype(int) - [255, 0, 0]).max() <= 2
    assert load_image(np.full((2, 3), 7, np.uint8)).getpixel((0, 0)) == (7, 7, 7)


def test_grey_bilevel_and_lab_pictures_keep_their_brightness() -> None:
    for mode in ("1", "L", "LA"):
        assert np.asarray(load_image(Image.new("L", (2, 1), 255).convert(mode))).tolist() == [[[255] * 3] * 2]
    assert load_image(Image.new("La", (1, 1), (128, 255))).getpixel((0, 0)) == (128, 128, 128)
    assert min(load_image(Image.new("LAB", (1, 1), (255, 128, 128))).getpixel((0, 0))) >= 250


def test_sixteen_bits_keep_their_brightness() -> None:
    values = np.array([[0, 0x8000, 0xFFFF]], dtype=np.uint16)
    image = Image.fromarray(values)
    grey = [
        image,
        content(image, "PNG"),
        content(image, "TIFF"),
        b"P5 3 1 65535\n" + values.astype(">u2").tobytes(),
        Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes()),
        content(Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes()), "TIFF"),
    ]
    for picture in grey:
        assert np.asarray(load_image(picture))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    coloured = struct.pack(">3H", 0x8000, 0xFFFF, 0)
    for picture in (
        png((1, 1), 16, 2, b"\0" + coloured),
        png((1, 1), 16, 6, b"\0" + coloured + b"\xff\xff"),
        tiff_with_16_bit_rgb((0x8000, 0xFFFF, 0)),
    ):
        assert load_image(picture).getpixel((0, 0)) == (128, 255, 0)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_range_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (2, 2)).save(tmp_path / "depth.tif")
    with pytest.raises(ValueError, match=rf"depth\.tif: a picture of mode {mode} has no known range of brightness"):
        load_image(tmp_path / "depth.tif")


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (1, 1), (0, 0, 0, 0))
    assert load_image(image).getpixel((0, 0)) == WHITE
    assert load_image(Image.new("RGBA", (1, 1), (255, 0, 0, 51))).getpixel((0, 0)) == (255, 204, 204)
    palette = Image.new("P", (1, 1))
    palette.info["transparency"] = 0
    assert load_image(palette).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(
    ("bits", "colour_type", "row", "transparent", "other"),
    [
        (1, 0, b"\x40", (0,), WHITE),
        (2, 0, b"\x70", (1,), WHITE),  # the pixels 1, 3
        (4, 0, b"\x35", (3,), (85, 85, 85)),
        (8, 0, b"\x03\x05", (3,), (5, 5, 5)),
        (16, 0, b"\x12\x34\x12\x35", (0x1234,), (18, 18, 18)),  # nearly the same is not transparent
        (8, 2, b"\1\2\3\4\5\6", (1, 2, 3), (4, 5, 6)),
        (16, 2, b"\x80\1\0\2\0\3\4\0\5\0\6\0", (0x8001, 2, 3), (4, 5, 6)),
    ],
)
def test_the_transparent_value_of_png_files(
    bits: int, colour_type: int, row: bytes, transparent: tuple[int, ...], other: tuple[int, int, int]
) -> None:
    value = b"".join(struct.pack(">H", channel) for channel in transparent)
    picture = load_image(png((2, 1), bits, colour_type, b"\0" + row, value))
    assert (picture.getpixel((0, 0)), picture.getpixel((1, 0))) == (WHITE, other)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_turned_back(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (32, 16))
    upright.paste("red", (0, 0, 16, 8))
    upright.paste("blue", (16, 0, 32, 8))
    stored = {  # what a camera held in this way writes, as EXIF defines it: where row 0 and column 0 are
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[::-1],
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    photograph = Image.fromarray(np.ascontiguousarray(stored(np.asarray(upright))))
    exif = photograph.getexif()
    exif[0x0112] = orientation
    exact = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    loaded = load_image(content(photograph, kind, exif=exif, **exact))
    for picture in (loaded, load_image(loaded)):  # once is enough
        assert picture.size == (32, 16)
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(upright)).max() <= 3


def test_broken_exif_data_says_nothing() -> None:
    photograph = Image.new("RGB", (4, 2), "red")
    for exif in (b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"):
        for kind in ("JPEG", "PNG", "WEBP"):
            assert load_image(content(photograph, kind, exif=exif)).size == (4, 2)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    exact = {"quality": 100} if kind == "MPO" else {"lossless": True} if kind == "WEBP" else {}
    loaded = load_image(content(frames[0], kind, save_all=True, append_images=frames[1:], **exact))
    assert loaded.size == (16, 16)
    assert np.abs(np.asarray(loaded).astype(int) - [255, 0, 0]).max() <= 2


def test_a_transparent_animation_is_laid_on_white_and_an_open_one_stays_where_it_is() -> None:
    frames = [Image.new("P", (4, 4), colour) for colour in (0, 1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    animation = content(frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=0, disposal=2)
    assert load_image(animation).getpixel((3, 3)) == WHITE
    with Image.open(io.BytesIO(animation)) as opened:
        opened.seek(2)
        assert load_image(opened).getpixel((3, 3)) == (0, 0, 255)


def test_bad_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, reason in {
        "text.jpg": "Pillow knows no picture format that begins like this",
        "empty.png": "it is empty",
        "folder.png": "it is a folder",
        "pipe.png": "it is no ordinary file",
        "loop.png": "Too many levels of symbolic links",
        "text.jpg/inside.png": "Not a directory",
        "nul\0.png": "null",
        "n" * 300: "File name too long",
    }.items():
        with pytest.raises(ValueError, match=f"No image can be read from .*{name}: .*{reason}"):
            load_image(str(tmp_path / name))
    with pytest.raises(ValueError, match="No image can be read from 10 bytes: Pillow knows no"):
        load_image(b"no picture")
    with pytest.raises(FileNotFoundError, match=r"There is no image file .*none\.png"):
        load_image(tmp_path / "none.png")
    with pytest.raises(TypeError, match="a PIL image, a uint8 array or a path, or the bytes .* got int"):
        load_image(3)
    with pytest.raises(ValueError, match=r"got float64 \(2, 2, 3\)"):
        load_image(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"must hold pixels, got the shape \(0, 2, 3\)"):
        load_image(np.zeros((0, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="the PIL image of mode RGB: it holds no pixels, its size is 0 x 5"):
        load_image(Image.new("RGB", (0, 5)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(ValueError, match=r"secret\.png: Permission denied"):
        load_image(tmp_path / "secret.png")


def test_a_reason_is_given_for_every_kind_of_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for error, reason in (
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (MemoryError(), "it takes more memory than there is"),
        (struct.error("4 bytes"), r"its content is broken \(error: 4 bytes\)"),
        (OSError(), r"its content is broken \(OSError: \)"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        (tmp_path / "some.png").write_bytes(b"x")
        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(ValueError, match=rf"some\.png: {reason}\.$"):
            load_image(tmp_path / "some.png")


def test_an_open_picture_that_is_cut_or_closed_is_refused(tmp_path: Path) -> None:
    whole = content(Image.effect_noise((64, 64), 50), "PNG")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with (
        Image.open(tmp_path / "cut.png") as opened,
        pytest.raises(ValueError, match=r"No image can be read from .*cut\.png: image file is truncated"),
    ):
        load_image(opened)
    closed = Image.open(io.BytesIO(whole))
    closed.close()
    with pytest.raises(ValueError, match="No image can be read from the PIL image of mode L: "):
        load_image(closed)


def test_beyond_the_limit_is_refused_and_below_it_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)
    with pytest.raises(ValueError, match=r"large\.png: .*10000 pixels.* limit of 8000 .*Shrink it, or, .*MAX_IMAGE"):
        load_image(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(tmp_path / "large.png").size == (100, 100)
        assert Image.MAX_IMAGE_PIXELS == 6_000
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)  # others' warnings are as they were


def test_a_decompression_bomb_is_refused() -> None:
    with pytest.raises(ValueError, match=r"4294836225 pixels.*decompression bomb"):
        load_image(png((65535, 65535), 8, 0, b"\0"))


FUZZED = {
    "JPEG": {},
    "progressive": {"kind": "JPEG", "progressive": True},
    "PNG": {},
    "GIF": {},
    "animation": {"kind": "GIF", "save_all": True, "append_images": [Image.new("RGB", (20, 24), "red")]},
    "WEBP": {},
    "TIFF": {},
    "BMP": {},
}


def test_broken_files_give_a_picture_or_an_error_with_a_reason() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    exif = noise.getexif()
    exif[0x0112] = 6
    generator, outcomes = random.Random(0), Counter[tuple[str, bool]]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, options in FUZZED.items():
            kind = options.get("kind", name)
            whole = content(noise, **({"kind": kind} | options), **({} if kind in ("BMP", "GIF") else {"exif": exif}))
            for _ in range(250):
                try:
                    assert load_image(broken(whole, generator)).mode == "RGB"
                    outcomes[name, True] += 1
                except ValueError as error:
                    outcomes[name, False] += str(error).startswith("No image can be read from ")
            for share in (0.1, 0.5, 0.9) if name != "animation" else (0.1, 0.4):
                with pytest.raises(ValueError, match="No image can be read from"):
                    load_image(whole[: int(share * len(whole))])
    assert all(outcomes[name, False] + outcomes[name, True] == 250 for name in FUZZED)
    assert all(outcomes[name, False] > 50 for name in FUZZED)
    assert all(outcomes[name, True] > 20 for name in FUZZED.keys() - {"PNG"}), "PNG has checksums"


def broken(whole: bytes, generator: random.Random) -> bytes:
    """A file with some bits flipped, bytes replaced, taken out or put in, or the end cut off."""
    data = bytearray(whole)
    for _ in range(generator.choice([1, 1, 2, 5, 20])):
        place = generator.randrange(min(len(data), generator.choice([64, 400, len(data)])))
        end = place + generator.randrange(1, 9)
        match generator.choice(["flip", "flip", "replace", "remove", "insert", "cut"]):
            case "flip":
                data[place] ^= 1 << generator.randrange(8)
            case "replace":
                data[place] = generator.choice([0, 127, 128, 255])
            case "remove":
                del data[place:end]
            case "insert":
                data[place:place] = generator.randbytes(end - place)
            case "cut":
                del data[max(place, 1) :]
        data = data or bytearray(whole)
    return bytes(data)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (30000, 1), (1, 30000), (3, 3)])
@pytest.mark.parametrize("colour", ["grey", None])
def test_any_size_has_between_one_and_the_most_regions(size: tuple[int, int], colour: str | None) -> None:
    noise = 85 * np.random.default_rng(0).integers(0, 4, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise) if colour is None else Image.new("RGB", size, colour)
    thin = {"minimum_area": 1, "minimum_thickness": 1, "maximum_regions": 5, "colour_tolerance": 100}
    extractors = [GridRegionExtractor(), GridRegionExtractor(rows=2, columns=3, crop_size=2)]
    for kind in (ComponentRegionExtractor, ShapeRegionExtractor):
        extractors += [kind(), kind(**thin)]
    for extractor, most in zip(extractors, (65, 7, 36, 5, 36, 5), strict=True):
        regions = extractor(content(image, "PNG"))[0]
        assert 1 <= len(regions) <= most
        assert regions.image_size == (size[1], size[0])
        assert regions.boxes[-1].tolist() == [0, 0, *size]
        assert np.isfinite(regions.features).all()
