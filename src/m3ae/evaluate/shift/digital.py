"""Contrast, warping, coarse pixels and JPEG, as ImageNet-C defines them. Images are float64 in [0, 1]."""

import io
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy import ndimage

from m3ae.evaluate.shift.noise import Pixels, Random


def contrast(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Distances from each channel's mean shrink."""
    means = image.mean(axis=(0, 1), keepdims=True)
    return (image - means) * constant[0] + means


def elastic_transform(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """A small random affine map, then a smooth random displacement of every pixel.

    Strength, smoothness and size of the affine map are shares of the image's side.
    """
    side = len(image)
    strength, sigma, shake = (part * side for part in constant)
    shaken = affine(image, shake, random)
    smooth = smoothing(side, sigma)
    right, down = (strength * (smooth @ random.uniform(-1, 1, (side, side)) @ smooth.T) for _ in range(2))
    rows, columns = np.indices((side, side))
    places = [rows + down, columns + right]
    channels = [ndimage.map_coordinates(shaken[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.stack(channels, axis=2)


@lru_cache(maxsize=64)
def smoothing(side: int, sigma: float) -> Float[np.ndarray, "side side"]:
    """What blurs a line of ``side`` values, reflected at its ends, up to three standard deviations.

    A matrix, because the widest Gaussian of ImageNet-C is four times as long as the line.
    """
    return ndimage.gaussian_filter(np.eye(side), (sigma, 0), mode="reflect", truncate=3)


def affine(image: Pixels, shake: float, random: Random) -> Pixels:
    """Three points about the centre move by up to ``shake`` pixels each way; the edge is mirrored."""
    centre, reach = image.shape[0] // 2, image.shape[0] // 3
    before = np.array([[1, 1], [-1, 1], [-1, -1]]) * reach + centre  # rows, columns
    after = before + random.uniform(-shake, shake, before.shape)[:, ::-1]  # columns are drawn first
    # Where each pixel of the result comes from: the map from `after` back to `before`.
    back = np.linalg.solve(np.column_stack([after, np.ones(3)]), before).T
    moved = [
        ndimage.affine_transform(image[..., c], back[:, :2], back[:, 2], order=1, mode="mirror")
        for c in range(3)
    ]
    return np.stack(moved, axis=2)


def pixelate(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Down to a share of the side and up again, both by areas."""
    side = image.shape[0]
    small = picture(image).resize([int(side * constant[0])] * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX)) / 255


def jpeg_compression(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Through JPEG at a quality, as Pillow writes it."""
    buffer = io.BytesIO()
    picture(image).save(buffer, "JPEG", quality=int(constant[0]))
    return np.asarray(Image.open(buffer)) / 255


def picture(image: Pixels) -> Image.Image:
    """The image in eight bits, which it came from."""
    return Image.fromarray(np.round(image * 255).astype(np.uint8))
