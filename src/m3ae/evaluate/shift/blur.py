"""Blurs, as ImageNet-C defines them. Images are float64 in [0, 1]."""

import math

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from m3ae.evaluate.shift.noise import Pixels, Random

Kernel = Float[np.ndarray, "height width"]


def defocus_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """A disk of a radius, its edge softened by a Gaussian."""
    kernel = disk(*constant)
    return np.stack([ndimage.convolve(image[..., c], kernel, mode="mirror") for c in range(3)], axis=2)


def disk(radius: float, softness: float) -> Kernel:
    """A disk that sums to 1, blurred with a small window (3 pixels wide, 5 for a radius over 8)."""
    reach = 8 if radius <= 8 else int(radius)
    line = np.arange(-reach, reach + 1)
    solid = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    window = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-window, window + 1) ** 2) / (2 * softness**2))
    weights /= weights.sum()
    blurred = ndimage.convolve1d(solid / solid.sum(), weights, axis=0, mode="mirror")
    return ndimage.convolve1d(blurred, weights, axis=1, mode="mirror")


def glass_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Blur, move every pixel to a near one, blur again.

    One pixel after another, from the lower right, takes the value of a near one *as it is by then*: the
    authors' code means to swap the two, and by NumPy's views copies.
    """
    sigma, reach, passes = constant[0], int(constant[1]), int(constant[2])
    blurred = (gaussian(image, sigma).clip(0, 1) * 255).astype(np.uint8)
    height, width = image.shape[:2]
    source = list(range(height * width))  # a list: one entry at a time is what it is good at
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    for _ in range(passes):
        moves = random.integers(-reach, reach, size=(len(rows), len(columns), 2))
        steps = (moves[..., 0] + width * moves[..., 1]).tolist()
        for row, line in zip(rows, steps, strict=True):
            for column, step in zip(columns, line, strict=True):
                place = row * width + column
                source[place] = source[place + step]
    moved = blurred.reshape(-1, 3)[source].reshape(image.shape)
    return gaussian(moved / 255, sigma)


def gaussian(image: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur in the plane, up to four standard deviations; the edge goes on."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4)


def motion_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Blur along a line between -45 and 45 degrees."""
    radius, sigma = constant
    return along_line(image, radius, sigma, random.uniform(-45, 45))


def along_line(image: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """Average over a half-line of 2 x radius + 1 pixels with Gaussian weights: ImageMagick's motion blur."""
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    angle, total = math.radians(degrees), np.zeros_like(image)
    rows, columns = np.arange(image.shape[0]), np.arange(image.shape[1])
    for distance, weight in enumerate(weights):
        if weight < 1e-6:
            break  # nothing that eight bits could show
        down, right = (round(distance * part) for part in (math.sin(angle), math.cos(angle)))
        near_rows = (rows + down).clip(0, len(rows) - 1)
        near_columns = (columns + right).clip(0, len(columns) - 1)
        total += weight * image[near_rows[:, None], near_columns]
    return total


def zoom_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """The mean of the image and of it zoomed by factors from 1 up to a stop, in steps."""
    factors = np.arange(1, *constant)
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """The centre, enlarged linearly to the size of the whole (at least; the surplus is trimmed)."""
    side = image.shape[0]
    cut = math.ceil(side / factor)
    top = (side - cut) // 2
    centre = image[top : top + cut, top : top + cut]
    large = ndimage.zoom(centre, (factor, factor, *[1] * (image.ndim - 2)), order=1)
    trim = (len(large) - side) // 2
    return large[trim : trim + side, trim : trim + side]
