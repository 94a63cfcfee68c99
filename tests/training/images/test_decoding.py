"""Pixels are those that a viewer shows: bit depths, orientation, palettes, transparency, colour modes, animations."""

from __future__ import annotations

import io
import random
import zlib

import numpy as np
import pytest
from PIL import Image

from autogan_ray.base.errors import DataError
from autogan_ray.training.images.decoding import decode, pixels_of
from tests.training.images.pictures import encoded, picture


def shown(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    return decode(encoded(image, kind, **options), "x")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_levels_become_their_high_byte(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = shown(Image.fromarray(ramp), kind)
    assert image.mode == "L" and np.array_equal(np.asarray(image), ramp >> 8)


def test_a_dark_sixteen_bit_image_stays_dark() -> None:
    assert np.asarray(shown(Image.fromarray(np.full((4, 4), 255, np.uint16)))).max() == 0
    assert np.asarray(shown(Image.fromarray(np.zeros((4, 4), np.uint16)))).max() == 0


@pytest.mark.parametrize("most", [255, 65535, 70000])
@pytest.mark.parametrize("levels", [np.float32, np.int32])
def test_levels_without_a_known_white_are_refused(levels: type, most: int) -> None:
    message = r"^x has (floating-point levels|levels of neither 8 nor 16 bits), whose white is not known; save it"
    with pytest.raises(DataError, match=message):
        shown(Image.fromarray(np.array([[0, most]], levels)), "TIFF")


def test_levels_of_twelve_bits_are_refused() -> None:
    content = bytearray(encoded(Image.fromarray(np.full((4, 4), 4095, np.uint16)), "TIFF"))
    tag = bytes([2, 1, 3, 0, 1, 0, 0, 0])  # BitsPerSample: one 16-bit number, which follows
    place = content.index(tag) + len(tag)
    assert content[place] == 16
    content[place] = 12
    with pytest.raises(DataError, match="levels of neither 8 nor 16 bits"):
        decode(bytes(content), "x")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_side_that_the_camera_says_is_up(orientation: int) -> None:
    upright = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    assert np.array_equal(np.asarray(shown(stored, exif=exif)), upright)


def test_a_palette_means_its_colours_and_a_grey_one_stays_grey() -> None:
    coloured = picture().quantize(8)
    assert np.array_equal(np.asarray(shown(coloured)), np.asarray(coloured.convert("RGB")))
    grey = picture(mode="L").convert("P")
    image = shown(grey)
    assert image.mode == "L" and np.array_equal(np.asarray(image), np.asarray(picture(mode="L")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_transparent_pixels_show_white_and_half_transparent_ones_half(mode: str) -> None:
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (3, 1), (0,) * len(mode))
        image.putalpha(Image.fromarray(np.array([[0, 128, 255]], np.uint8)))
        levels = [255, 127, 0]
        result = shown(image)
    else:  # one index or level is transparent
        levels = [255, 255, 255] if mode == "1" else [255, 1, 2]
        image = Image.fromarray(np.array([[0, *levels[1:]]], np.uint8)).convert(mode)
        result = shown(image, transparency=0)
    assert np.abs(np.asarray(result).reshape(3, -1).astype(int) - np.array(levels)[:, None]).max() <= 1
    assert result.mode == ("RGB" if mode == "RGBA" else "L")


def test_a_palette_with_a_transparent_entry_keeps_its_colours() -> None:
    coloured = picture().quantize(8)
    assert shown(coloured, transparency=3).mode == "RGB"


def test_an_animation_is_its_first_frame_and_print_colours_are_converted() -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    for kind in ("GIF", "WEBP", "PNG"):
        image = shown(first, kind, save_all=True, append_images=[second])
        red, green, blue = np.asarray(image)[0, 0]
        assert red > 240 and green < 15 and blue < 15
    red, green, blue = np.asarray(shown(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG", quality=95))[0, 0]
    assert red > 200 and max(green, blue) < 60


def test_one_bit_images_are_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert np.asarray(shown(bits)).tolist() == [[0, 255]]


def test_an_enormous_image_is_refused_before_it_takes_memory() -> None:
    for side in (10_000, 20_000):
        with pytest.raises(DataError, match=r"^x (has|is refused)"):
            shown(Image.new("1", (side, side)))


def test_a_picture_is_cut_to_its_middle_and_resized_with_antialiasing() -> None:
    stripes = np.zeros((8, 24), np.uint8)
    stripes[:, 8:16] = 200
    assert (pixels_of(Image.fromarray(stripes), 8, 1) == 200).all()
    chequered = Image.fromarray((np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8))
    assert np.abs(pixels_of(chequered, 8, 3).astype(int) - 127).max() <= 20


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA", "JPEG2000", "ICO"])
def test_damaged_bytes_give_an_error_that_names_the_image_or_an_image(kind: str) -> None:
    whole, rng = encoded(picture(size=16), kind), random.Random(zlib.crc32(kind.encode()))
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            image = decode(bytes(damaged), "the image")
        except DataError as error:
            assert str(error).startswith("the image ")
        else:
            assert image.mode in ("L", "RGB")


def test_bytes_that_are_no_image_are_refused_by_name() -> None:
    for content in (b"", b"junk", b"\x89PNG\r\n\x1a\n", b"GIF89a"):
        with pytest.raises(DataError, match="row 3 cannot be decoded"):
            decode(content, "row 3")
    assert decode(io.BytesIO(encoded(picture())).getvalue(), "x").mode == "RGB"
