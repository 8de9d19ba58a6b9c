"""Images as arrays: decoding anything to RGB, the evaluation view, normalisation."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from m3ae.errors import UserError

# Formats of pictures on the web. Pillow's others include ones that call outside programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def open_image(data: bytes) -> Image.Image:
    """Read the header of an encoded image; nothing is decoded yet.

    Raises whatever Pillow's parsers raise on bytes that are no image.
    """
    return Image.open(io.BytesIO(data), formats=FORMATS)


def decode_rgb(data: bytes) -> Image.Image:
    """Decode an encoded image to RGB as it is stored: an EXIF orientation is not applied.

    Clean shards hold upright images, and evaluation sets are read this way by everybody else.
    Raises whatever Pillow's decoders raise on broken bytes.
    """
    return to_rgb(open_image(data))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: transparent parts over white, 16 bits scaled to 8, the first frame alone."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.int32).clip(0, 65535)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))  # 65535 / 255 = 257
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")


def resize_short_side(image: Image.Image, short_side_px: int) -> Image.Image:
    """Resize to ``short_side_px`` with an antialiased bicubic filter; the aspect stays."""
    width, height = image.size
    short = min(width, height)
    if short == short_side_px:
        return image
    # As torchvision's Resize: the long side is cut down to a whole pixel.
    size = (short_side_px * width // short, short_side_px * height // short)
    return image.resize(size, Image.Resampling.BICUBIC)


def view(image: Image.Image, resize_px: int, size_px: int) -> UInt8[np.ndarray, "size_px size_px 3"]:
    """How a frozen encoder sees an image: short side to ``resize_px``, centre crop of ``size_px``.

    The authors' test transform (Resize 256, CenterCrop 256), with torchvision's rounding.
    """
    if size_px > resize_px:
        raise UserError(
            f"features.resize_px: expected at least data.image.size_px = {size_px}, got {resize_px}; "
            "a crop cannot be larger than the image"
        )
    resized = np.asarray(resize_short_side(to_rgb(image), resize_px))
    top, left = (round((side - size_px) / 2) for side in resized.shape[:2])
    return resized[top : top + size_px, left : left + size_px]


def normalise(
    batch: UInt8[np.ndarray, "batch height width 3"], mean: Sequence[float], std: Sequence[float]
) -> Float32[np.ndarray, "batch 3 height width"]:
    """Scale to [0, 1], subtract ``mean``, divide by ``std`` (per channel), channels first."""
    mean_, std_ = (np.asarray(values, np.float32) for values in (mean, std))
    scaled = batch.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - mean_) / std_).transpose(0, 3, 1, 2))
