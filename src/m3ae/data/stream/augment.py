"""Training crops: RandomResizedCrop (bicubic) and horizontal flip, keyed by (seed, epoch, sample id)."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from m3ae.data.stream.keyed import CROP, FLIP, uniforms

ATTEMPTS = 10
ASPECTS = (3 / 4, 4 / 3)  # torchvision's default, which the authors' data.py uses


class Crop(NamedTuple):
    """A rectangle of the image (pixels), and whether it is mirrored."""

    left: int
    top: int
    width: int
    height: int
    flip: bool


def draw_crop(
    size: tuple[int, int], scale: tuple[float, float], flip: bool, seed: int, epoch: int, sample: int
) -> Crop:
    """Draw the crop of one sample: area and aspect at random, ten attempts, else the largest that fits.

    The rule of torchvision's RandomResizedCrop, from keyed numbers in place of a generator.
    """
    width, height = size
    draws = uniforms(4 * ATTEMPTS, seed, CROP, epoch, sample)[0].reshape(ATTEMPTS, 4)
    mirrored = flip and bool(uniforms(1, seed, FLIP, epoch, sample)[0, 0] < 0.5)
    for area_draw, aspect_draw, x_draw, y_draw in draws:
        area = width * height * (scale[0] + (scale[1] - scale[0]) * area_draw)
        log_low, log_high = np.log(ASPECTS)
        aspect = np.exp(log_low + (log_high - log_low) * aspect_draw)
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Crop(int(x_draw * (width - w + 1)), int(y_draw * (height - h + 1)), w, h, mirrored)
    return Crop(*largest_centre(width, height), mirrored)


def largest_centre(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest central rectangle (left, top, width, height) whose aspect is allowed."""
    w, h = width, height
    if width / height < ASPECTS[0]:
        h = round(width / ASPECTS[0])
    elif width / height > ASPECTS[1]:
        w = round(height * ASPECTS[1])
    return (width - w) // 2, (height - h) // 2, w, h


def apply_crop(image: Image.Image, crop: Crop, size_px: int) -> np.ndarray:
    """Cut, resize to a square (bicubic, antialiased) and mirror: uint8 (3, size, size)."""
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    image = image.resize((size_px, size_px), Image.Resampling.BICUBIC, box=box)
    if crop.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image).transpose(2, 0, 1)
