"""Training crops: RandomResizedCrop (bicubic) and horizontal flip, keyed by (seed, epoch, sample id)."""

import math
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
from jaxtyping import UInt8
from torch.nn.functional import interpolate

from m3ae.config.data import Image
from m3ae.data.stream.decode import Box, Pixels, decode_box, image_size
from m3ae.data.stream.keyed import CROP, FLIP
from m3ae.data.stream.splitmix import draws

ATTEMPTS = 10
ASPECTS = (3 / 4, 4 / 3)  # torchvision's default, which the authors' data.py uses
LOG_ASPECTS = tuple(math.log(aspect) for aspect in ASPECTS)


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
    numbers = draws(seed, CROP, epoch, sample)
    mirrored = flip and next(draws(seed, FLIP, epoch, sample)) < 0.5
    for _ in range(ATTEMPTS):
        area_draw, aspect_draw, x_draw, y_draw = (next(numbers) for _ in range(4))
        area = width * height * (scale[0] + (scale[1] - scale[0]) * area_draw)
        aspect = math.exp(LOG_ASPECTS[0] + (LOG_ASPECTS[1] - LOG_ASPECTS[0]) * aspect_draw)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
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


def training_view(
    jpeg: bytes, image: Image, seed: int, epoch: int, sample: int
) -> UInt8[np.ndarray, "3 size size"]:
    """What the model sees of a sample in an epoch: its crop, resized and perhaps mirrored.

    Raises what Pillow raises on bytes that are no image, or broken.
    """
    low, high = image.crop_scale
    crop = draw_crop(image_size(jpeg), (low, high), image.flip, seed, epoch, sample)
    pixels = decode_box(jpeg, Box(*crop[:4]), image.size_px)
    view = resize(pixels, image.size_px)
    return np.ascontiguousarray(view[:, :, ::-1] if crop.flip else view)


def resize(pixels: Pixels, size_px: int) -> UInt8[np.ndarray, "3 size size"]:
    """Resize the rectangle to a square (bicubic, antialiased), channels first.

    torch filters bytes in whole numbers: the same on every processor, three times as fast as Pillow, and
    within 2 levels of it where Pillow too filters rows first (13 starts with the columns where only the
    height shrinks): benchmarks/results/loader.md. Edges within a pixel, which only shrunken images have, are
    Pillow's work.
    """
    height, width, _ = pixels.values.shape
    if pixels.edges != (0, 0, width, height):
        image = PIL.Image.fromarray(pixels.values)
        square = image.resize((size_px, size_px), PIL.Image.Resampling.BICUBIC, box=pixels.edges)
        return np.asarray(square).transpose(2, 0, 1)
    channels_first = torch.from_numpy(pixels.values).permute(2, 0, 1)[None]
    return interpolate(channels_first, (size_px, size_px), mode="bicubic", antialias=True)[0].numpy()
