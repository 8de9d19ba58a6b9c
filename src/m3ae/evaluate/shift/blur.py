"""Blurs, as ImageNet-C defines them. Images are float64 in [0, 1]."""

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from m3ae.evaluate.shift.noise import Pixels, Random

Kernel = Float[np.ndarray, "height width"]


def defocus_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """A disk of a radius, its edge softened by a Gaussian."""
    kernel = disk(*constant)
    return np.stack([ndimage.convolve(image[..., c], kernel, mode="mirror") for c in range(3)], axis=2)


def disk(radius: float, softness: float) -> Kernel:
    """A disk that sums to 1, blurred with a small window (3 pixels wide, 5 for a radius over 8).

    Where it touches the edge of its array (radius 8 and 10) the blur makes its sum 1.01, as the authors' is.
    """
    reach = 8 if radius <= 8 else int(radius)
    line = np.arange(-reach, reach + 1)
    solid = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    window = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-window, window + 1) ** 2) / (2 * softness**2))
    weights /= weights.sum()
    blurred = ndimage.convolve1d(solid / solid.sum(), weights, axis=0, mode="mirror")
    return ndimage.convolve1d(blurred, weights, axis=1, mode="mirror")


def glass_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Blur, let every pixel take a near one's value in some passes, blur again."""
    sigma, reach, passes = constant[0], int(constant[1]), int(constant[2])
    blurred = (gaussian(image, sigma).clip(0, 1) * 255).astype(np.uint8)
    height, width = image.shape[:2]
    source = np.arange(height * width)
    for _ in range(passes):
        source = source[one_pass(height, width, reach, random)]
    moved = blurred.reshape(-1, 3)[source].reshape(image.shape)
    return gaussian(moved / 255, sigma)


def one_pass(height: int, width: int, reach: int, random: Random) -> Int[np.ndarray, " pixels"]:
    """Whose value each pixel has after one pass (flat indices).

    One pixel after another, from the lower right, takes the value of a near one *as it is by then*: the
    authors' code means to swap the two, and by NumPy's views copies. All at once here: a pixel whose near one
    has had its turn gets what that one got, so chains of them are followed, twice as far in every round.
    """
    place = np.arange(height * width).reshape(height, width)
    inner = place[height - reach : reach : -1, width - reach : reach : -1]
    steps = random.integers(-reach, reach, size=(*inner.shape, 2))  # columns, rows
    near = place.ravel().copy()
    near[inner] = inner + steps[..., 0] + width * steps[..., 1]
    follows = np.maximum(near, place.ravel())  # itself, or whom it waited for
    while not np.array_equal(further := follows[follows], follows):
        follows = further
    return near[follows]


def gaussian(image: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur in the plane, up to four standard deviations; the edge goes on."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4)


def motion_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Blur along a line between -45 and 45 degrees."""
    radius, sigma = constant
    return along_line(image, radius, sigma, random.uniform(-45, 45))


def along_line(image: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """Average over a half-line of 2 x radius + 1 pixels with Gaussian weights: ImageMagick's motion blur.

    The edge goes on. ``image`` has height, width and any further axes.
    """
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    angle, total = math.radians(degrees), np.zeros_like(image)
    (height, width), reach = image.shape[:2], len(weights)
    padded = np.pad(image, [(reach, reach)] * 2 + [(0, 0)] * (image.ndim - 2), mode="edge")
    for distance, weight in enumerate(weights):
        if weight < 1e-6:
            break  # nothing that eight bits could show
        row, column = (reach + round(distance * part) for part in (math.sin(angle), math.cos(angle)))
        total += weight * padded[row : row + height, column : column + width]
    return total
