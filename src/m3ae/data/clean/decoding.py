"""Decoding the whole of a received image, and noticing where it is damaged.

Pillow decodes JPEGs that were damaged on the way without a word: parts come out grey, or shifted. So plain
JPEGs go through libjpeg-turbo directly (simplejpeg), which reports what it had to guess.
"""

import re
from typing import NamedTuple

import simplejpeg
from PIL import Image

from m3ae.data.clean.reasons import RejectionError

# What libjpeg says of damaged pixels -> the reason. It says other things that harm nothing.
DAMAGE = {
    "premature end": "image_truncated",
    "bad huffman code": "image_broken",
    "bad arithmetic code": "image_broken",
    "instead of rst": "image_broken",
}
SURPLUS = re.compile(r"(\d+) extraneous bytes")
HARMLESS_BYTES = 16  # more of them before a marker: the coded pixels have come out of step, and some are lost
SCALES = (8, 4, 2)  # by which libjpeg's inverse DCT shrinks
COLOURS = {"RGB": "RGB", "L": "GRAY"}  # Pillow's name -> libjpeg's
NEAR = 2  # a shrunk decode has at least this many times the sides that are wanted


class Decoded(NamedTuple):
    """A decoded image."""

    image: Image.Image
    is_flawless: bool
    """Whether it is a JPEG that libjpeg-turbo itself decodes, without a warning."""


def decode(header: Image.Image, data: bytes, short_side_px: int) -> Decoded:
    """Decode all of it; a much too large JPEG comes out at 1/2, 1/4 or 1/8, at least twice ``short_side_px``.

    All coefficients are read then too, so that a broken end is found; the last halving is left to the better
    filter. Raises RejectionError for damaged pixels, and whatever Pillow's decoders raise.
    """
    if header.mode == "F":
        raise RejectionError("image_format", "floating point pixels, whose range nobody states")
    if header.format == "JPEG" and header.mode in COLOURS:
        try:
            return Decoded(decode_strictly(header, data, short_side_px), True)
        except ValueError as error:
            check_damage(str(error))  # otherwise: a strange header, or rare subsampling, which Pillow knows
    enough = NEAR * short_side_px
    header.draft(None, (enough, enough))
    header.load()
    return Decoded(header, False)


def decode_strictly(header: Image.Image, data: bytes, short_side_px: int) -> Image.Image:
    """Decode a grey or colour JPEG. Raises ValueError with libjpeg's first warning, if it has any."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    if (width, height) != header.size:
        raise ValueError("two sizes in one header")
    factor = next((scale for scale in SCALES if min(header.size) >= scale * NEAR * short_side_px), 1)
    shrunk = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    pixels = simplejpeg.decode_jpeg(data, COLOURS[header.mode], **(shrunk if factor > 1 else {}))
    return Image.fromarray(pixels[:, :, 0] if header.mode == "L" else pixels)


def check_damage(message: str) -> None:
    """Raise RejectionError if libjpeg's message speaks of damaged pixels."""
    for words, reason in DAMAGE.items():
        if words in message.lower():
            raise RejectionError(reason, message)
    if (surplus := SURPLUS.search(message)) and int(surplus[1]) > HARMLESS_BYTES:
        raise RejectionError("image_broken", message)
