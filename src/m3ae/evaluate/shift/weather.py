"""Snow, fog and light, as ImageNet-C defines them. Images are float64 in [0, 1]."""

import math

import numpy as np
from jaxtyping import Float

from m3ae.evaluate.shift.blur import along_line
from m3ae.evaluate.shift.noise import Pixels, Random
from m3ae.evaluate.shift.zoom import zoomed

Map = Float[np.ndarray, "height width"]


def snow(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Flakes that fall, twice, over a whitened image."""
    mean, std, zoom, threshold, radius, sigma, kept = constant
    flakes = zoomed(random.normal(mean, std, size=image.shape[:2]), zoom)
    flakes = np.floor(np.where(flakes < threshold, 0.0, flakes).clip(0, 1) * 255)  # eight bits, as ...
    blurred = np.round(along_line(flakes, radius, sigma, random.uniform(-135, -45)))  # ... ImageMagick's
    fallen = blurred[..., None] / 255
    grey = (image @ [0.299, 0.587, 0.114])[..., None]  # ITU-R BT.601
    whitened = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    return whitened + fallen + np.rot90(fallen, k=2)


def fog(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """A cloud of a thickness is added; the brightest value stays the brightest."""
    thickness, decay = constant
    side = 2 ** max(1, math.ceil(math.log2(image.shape[0])))
    cloud = plasma(side, decay, random)[: image.shape[0], : image.shape[1], None]
    brightest = image.max()
    return (image + thickness * cloud) * brightest / (brightest + thickness)


def plasma(side: int, decay: float, random: Random) -> Map:
    """A cloud by the diamond-square algorithm on a torus, between 0 and 1; ``side`` is a power of two.

    Heights differ by up to ``wobble`` squared at each scale, which falls by ``decay`` from one to the next.
    """
    cloud = np.zeros((side, side))
    step, wobble = side, 100.0
    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        squares = corners + np.roll(corners, -1, axis=0)
        squares = squares + np.roll(squares, -1, axis=1)
        cloud[half::step, half::step] = moved(squares, wobble, random)
        centres = cloud[half::step, half::step]
        beside = corners + np.roll(corners, -1, axis=1)
        below = corners + np.roll(corners, -1, axis=0)
        cloud[::step, half::step] = moved(centres + np.roll(centres, 1, axis=0) + beside, wobble, random)
        cloud[half::step, ::step] = moved(centres + np.roll(centres, 1, axis=1) + below, wobble, random)
        step, wobble = half, wobble / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def moved(sum_of_four: Map, wobble: float, random: Random) -> Map:
    """The mean of four heights, moved by up to the square of ``wobble``."""
    return sum_of_four / 4 + wobble * random.uniform(-wobble, wobble, sum_of_four.shape)


def brightness(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """The value of HSV rises; hue and saturation stay, and black becomes grey."""
    value = image.max(axis=2, keepdims=True)
    raised = (value + constant[0]).clip(0, 1)
    return np.where(value > 0, image * raised / np.where(value > 0, value, 1), raised)
