"""From encoded bytes to pixels, as a viewer shows them.

A file says more than its samples: which side is up, what its palette and its transparency mean, how many bits a level
has. Pillow reads all of that and applies none of it by itself.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from autogan_ray.base.errors import DataError

if TYPE_CHECKING:  # PIL is imported where it is used
    from PIL.Image import Image

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of one channel of more than 8 bits."""


def decode(encoded: bytes, name: str) -> Image:
    """Decodes one image as a viewer shows it.

    The first frame of an animation is taken; the orientation that a camera recorded is applied; transparent pixels show
    white, the usual background; 16-bit levels become 8-bit ones (v >> 8).

    Args:
        encoded: the content of a file, of any format that Pillow reads.
        name: file, or file and row, for messages.

    Returns:
        An image of mode ``L`` where nothing of it can have colour, else of mode ``RGB``.

    Raises:
        DataError: not an image, damaged, larger than Pillow's limit (89 million pixels), or of a kind whose white is
            not known (levels of 12 or 32 bits, and floating-point ones).
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is mended or refused below
        try:
            image = Pillow.open(io.BytesIO(encoded))
            _check_size(image, name)
            image.load()
            return _as_shown(image, name)
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(f"{name} cannot be decoded as an image: its bytes are of no known image format") from error
        except Pillow.DecompressionBombError as error:
            raise DataError(f"{name} is refused as too large to be meant: {error}") from error
        except Exception as error:  # decoders meet damaged bytes with errors of every kind
            raise DataError(f"{name} cannot be decoded as an image: {error or type(error).__name__}") from error


def _check_size(image: Image, name: str) -> None:
    from PIL import Image as Pillow

    limit = Pillow.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise DataError(f"{name} has {image.width}x{image.height} px; images of at most {limit:,} px are read")


def _as_shown(image: Image, name: str) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    if image.mode == "F" or (image.mode in _DEEP and not _has_sixteen_bits(image)):
        levels = "floating-point levels" if image.mode == "F" else "levels of neither 8 nor 16 bits"
        raise DataError(f"{name} has {levels}, whose white is not known; save it with 8 or 16 bits")
    image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP:
        return Pillow.fromarray(_eight_bits(image, name))
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return image.convert("L")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        shown = Pillow.alpha_composite(Pillow.new("RGBA", shown.size, "white"), shown).convert("RGB")
    else:
        shown = image.convert("RGB")
    grey = image.mode in ("1", "L", "LA", "La") or (image.mode in ("P", "PA") and _is_grey(shown))
    return shown.convert("L") if grey else shown


def _has_sixteen_bits(image: Image) -> bool:
    """Returns whether an image of one of the modes ``_DEEP``, as it was opened, has levels of 0 to 65535.

    Of these modes Pillow takes ``I`` for 32 bits too, and ``I;16`` for TIFF files of 12 bits, and leaves the levels as
    they are; levels of PGM files are brought to this range.
    """
    if image.format == "TIFF":
        bits_per_sample = 258
        return getattr(image, "tag_v2", {}).get(bits_per_sample) == (16,)
    return image.mode != "I" or image.format in ("PNG", "PPM")


def _eight_bits(image: Image, name: str) -> np.ndarray:
    """Returns uint8 [H, W] of an image with 16 bits a level."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 0xFFFF:
        raise DataError(f"{name} has levels of {levels.min()} to {levels.max()}; 8 and 16 bits are read")
    return (levels.astype(np.uint32) >> 8).astype(np.uint8)


def _is_grey(image: Image) -> bool:
    """Returns whether the channels of an RGB image are equal throughout."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def pixels_of(image: Image, size: int, channels: int) -> np.ndarray:
    """Crops an image to its central square and resizes it with antialiasing; returns uint8 [channels, size, size]."""
    from PIL import Image as Pillow

    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Pillow.Resampling.BILINEAR, box=box, reducing_gap=None)
    pixels = np.asarray(image, np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
