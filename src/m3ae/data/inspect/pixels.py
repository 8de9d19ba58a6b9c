"""Mean and standard deviation of the pixels, per channel: what `data.image.mean` and `std` are.

Over all pixels of the images as an encoder sees them without augmentation: RGB, short side to
``size_px``, centre crop, values in [0, 1]. The paper's constants come without their definition;
the authors' data.py has just this view, unnormalised, under the name `resize_only`.
Counts are integers, so the results are exact to float64 and do not depend on the order of images.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

LEVELS = np.arange(256, dtype=np.int64)
CHANNELS = ("red", "green", "blue")
WHITE = 255
Z = 1.959964
"""Half-width of a 95 % interval of the normal distribution, in standard errors."""


class Estimate(NamedTuple):
    """A value, with its 95 % interval over the split; both ends are the value where every image was read."""

    value: float
    low: float
    high: float


class Channel(NamedTuple):
    """One colour."""

    mean: Estimate
    std: Estimate


def count_levels(view: UInt8[np.ndarray, "size size 3"]) -> Int64[np.ndarray, "3 256"]:
    """How often each of the 256 levels occurs, per channel."""
    return np.stack([np.bincount(view[..., channel].ravel(), minlength=256) for channel in range(3)])


class PixelSums:
    """Sums over images of one size, streamed: of pixels, and of products of the images' own sums."""

    def __init__(self) -> None:
        self.num_images = 0
        self.num_pixels = 0  # of one image
        self.channels = [ChannelSums() for _ in CHANNELS]

    def add(self, levels: Int64[np.ndarray, "3 256"]) -> None:
        """Take in the levels of one image (`count_levels`)."""
        num_pixels = int(levels[0].sum())
        assert self.num_pixels in (0, num_pixels)
        self.num_images, self.num_pixels = self.num_images + 1, num_pixels
        for channel, counts in zip(self.channels, levels, strict=True):
            channel.add(int(counts @ LEVELS), int(counts @ LEVELS**2))

    def estimates(self, num_in_split: int) -> Iterator[Channel]:
        """Mean and standard deviation of each channel; the split has ``num_in_split`` images."""
        unread = 1 - self.num_images / num_in_split  # drawn without repetition from a finite set
        for channel in self.channels:
            yield channel.estimate(self.num_images, self.num_pixels, unread)


class ChannelSums:
    """Of one colour, over images: of pixels (x), of their squares (y), and of the images' products.

    Python's integers: the sums of squares of 12 million images do not fit into 64 bits.
    """

    def __init__(self) -> None:
        self.x = self.y = self.xx = self.xy = self.yy = 0

    def add(self, x: int, y: int) -> None:
        """Take in one image's sum of pixels and of squared pixels."""
        self.x, self.y = self.x + x, self.y + y
        self.xx, self.xy, self.yy = self.xx + x * x, self.xy + x * y, self.yy + y * y

    def estimate(self, num: int, num_pixels: int, unread: float) -> Channel:
        """Mean and standard deviation; images, not pixels, are the independent draws of the interval."""
        mean = Fraction(self.x, num * num_pixels)
        std = math.sqrt(Fraction(self.y, num * num_pixels) - mean**2)
        x_variance, xy_covariance, y_variance = (
            float(covariance(a, b, product, num) / num_pixels**2)
            for a, b, product in (
                (self.x, self.x, self.xx),
                (self.x, self.y, self.xy),
                (self.y, self.y, self.yy),
            )
        )
        # The delta method: std = sqrt(E[y] - E[x]^2) moves by (dy - 2 E[x] dx) / (2 std).
        slope = 2 * float(mean)
        moved = y_variance - 2 * slope * xy_covariance + slope**2 * x_variance
        std_variance = max(0.0, moved) / (2 * std) ** 2 if std else 0.0
        return Channel(
            interval(float(mean), x_variance * unread / num), interval(std, std_variance * unread / num)
        )


def covariance(a: int, b: int, product: int, num: int) -> Fraction:
    """The unbiased covariance over ``num`` images of two quantities, from their sums and that of products."""
    return (Fraction(product) - Fraction(a * b, num)) / max(1, num - 1)


def interval(level: float, variance: float) -> Estimate:
    """From levels 0 to 255 to values in [0, 1], with the 95 % interval."""
    half = Z * math.sqrt(variance)
    return Estimate(level / WHITE, (level - half) / WHITE, (level + half) / WHITE)
