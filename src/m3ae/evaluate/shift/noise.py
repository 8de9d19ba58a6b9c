"""Noise of sensors and transmission, as ImageNet-C defines it. Images are float64 in [0, 1]."""

import numpy as np
from jaxtyping import Float

Pixels = Float[np.ndarray, "height width 3"]
Random = np.random.Generator


def gaussian_noise(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Normal noise of one standard deviation."""
    return image + random.normal(scale=constant[0], size=image.shape)


def shot_noise(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """Poisson noise: white is ``constant`` photons."""
    return random.poisson(image * constant[0]) / constant[0]


def impulse_noise(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """A share of the values, channel by channel, becomes black or white with equal chances."""
    drawn = random.random((2, *image.shape))
    return np.where(drawn[0] < constant[0], np.where(drawn[1] < 0.5, 1.0, 0.0), image)
