"""JPEG decoding for training crops: no row below the crop, and no more pixels than the crop needs.

The pixels are those of Pillow to the bit (both decode with libjpeg-turbo) unless the crop is at least twice
as large as what is made of it. Then the inverse DCT gives an image of a half, a quarter or an eighth, and
the crop's edges may lie within its pixels.
"""

import math
from typing import NamedTuple

import numpy as np
import simplejpeg
from jaxtyping import UInt8

from m3ae.data.images import decode_rgb, open_image

SCALES = (8, 4, 2)  # by which libjpeg-turbo's inverse DCT shrinks at no loss of speed
INKS = ("CMYK", "YCCK")  # Pillow alone knows Adobe's polarity
MARGIN = 16  # rows below the last one that is asked for: upsampled chroma looks one of its rows ahead
END = b"\xff\xd9"
ROW_BY_ROW = (0xC0, 0xC1)  # frames (SOF0, SOF1) whose rows come one after another
OTHER_FRAMES = (0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)


class Box(NamedTuple):
    """A rectangle of an image (pixels)."""

    left: int
    top: int
    width: int
    height: int


class Pixels(NamedTuple):
    """Decoded pixels, and where the rectangle that was asked for lies in them."""

    values: UInt8[np.ndarray, "height width 3"]
    edges: tuple[float, float, float, float]
    """Left, top, right, bottom."""


def image_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height, from the header. Raises what Pillow raises on bytes that are no image."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError:
        return open_image(jpeg).size
    return width, height


def decode_box(jpeg: bytes, box: Box, size_px: int) -> Pixels:
    """The pixels of ``box``, shrunk by the largest of 8, 4, 2 that leaves both sides at least ``size_px``.

    Pillow decodes what simplejpeg refuses: inks, rare subsampling, broken bytes, other formats. Raises what
    Pillow raises on broken bytes.
    """
    factor = shrinking(box, size_px)
    try:
        pixels = decode_top(jpeg, box.top + box.height, factor)
    except ValueError:
        factor, pixels = 1, np.array(decode_rgb(jpeg))
    left, top, right, bottom = shrunk_edges(box, factor)
    column, row = math.floor(left), math.floor(top)
    cut = pixels[row : math.ceil(bottom), column : math.ceil(right)]
    return Pixels(cut, (left - column, top - row, right - column, bottom - row))


def shrinking(box: Box, size_px: int) -> int:
    """The largest scale of the inverse DCT that leaves at least ``size_px`` in both directions."""
    return next((scale for scale in SCALES if min(box.width, box.height) >= scale * size_px), 1)


def shrunk_edges(box: Box, factor: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in an image shrunk by ``factor``."""
    right, bottom = box.left + box.width, box.top + box.height
    return box.left / factor, box.top / factor, right / factor, bottom / factor


def decode_top(jpeg: bytes, rows: int, factor: int) -> UInt8[np.ndarray, "height width 3"]:
    """The first ``rows`` rows at least, RGB, shrunk by ``factor``. Raises ValueError if Pillow must help."""
    height, width, colours, _ = simplejpeg.decode_jpeg_header(jpeg)
    if colours in INKS:
        raise ValueError(f"{colours} needs Pillow")
    needed = rows + MARGIN
    place = place_of_height(jpeg) if needed < height else None
    if place:
        jpeg = b"".join((jpeg[:place], needed.to_bytes(2, "big"), jpeg[place + 2 :]))
        height = needed
    shrunk = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    # A cut image warns of the bytes after its last row, which only lenient decoding forgives.
    return simplejpeg.decode_jpeg(jpeg, strict=place is None, **(shrunk if factor > 1 else {}))


def place_of_height(jpeg: bytes) -> int | None:
    """Where the header says how many rows follow, if the image may be cut by making them fewer.

    None for progressive images, all of whose scans are needed, and for bytes that end too early, which must
    raise an error.
    """
    at = 2  # after the start marker
    while jpeg.endswith(END) and at + 7 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker in ROW_BY_ROW:
            return at + 5
        if marker in OTHER_FRAMES:
            return None
        at += 2 + length
    return None
