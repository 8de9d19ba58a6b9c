"""Which way up: the EXIF orientation of an image, from its bytes or from img2dataset's notes."""

import json
from typing import Any

from PIL import Image

UPRIGHT = 1
TAG = 0x0112  # Orientation, in EXIF 2.32, table 4

# Orientation -> what brings the image upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The same in the words of exifread, which img2dataset writes down before it resizes an image.
NOTES = {
    "Mirrored horizontal": 2,
    "Rotated 180": 3,
    "Mirrored vertical": 4,
    "Mirrored horizontal then rotated 90 CCW": 5,
    "Rotated 90 CW": 6,
    "Mirrored horizontal then rotated 90 CW": 7,
    "Rotated 90 CCW": 8,
}


def stored_orientation(image: Image.Image) -> int | None:
    """The orientation in an image's own EXIF; None where it has none, or where EXIF is broken."""
    try:
        value = image.getexif().get(TAG)
    except Exception:  # a broken tag is no reason to lose a good image
        return None
    return value if value in range(1, 9) else None


def noted_orientation(metadata: dict[str, Any]) -> int:
    """The orientation in img2dataset's metadata: resizing has removed it from the bytes."""
    exif = metadata.get("exif")
    tags = json.loads(exif) if isinstance(exif, str) else None
    return NOTES.get(tags.get("Image Orientation", ""), UPRIGHT) if isinstance(tags, dict) else UPRIGHT


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as its photographer held the camera."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
