"""Frost: ImageNet-C's weights, over a texture that is drawn. Images are float64 in [0, 1].

The authors paste a crop of one of five photographs of frost, which are not ours to ship. Measured on these
(create_c/frost1.png to frost5.jpg, crops of 224 px): mean lightness 0.44 to 0.80, standard deviation within a
crop 0.06 to 0.14, mean colour bluish; per octave of frequency, the power's density falls to about a quarter.
"""

import numpy as np
from jaxtyping import Float

from m3ae.evaluate.shift.blur import along_line
from m3ae.evaluate.shift.noise import Pixels, Random

LIGHTNESS = (0.44, 0.80)
CONTRAST = (0.06, 0.14)
TINT = np.array([0.89, 1.02, 1.09])  # mean colour over mean lightness
NUM_DIRECTIONS = 4
SEEDS = 0.04  # share of the pixels where a needle begins

Map = Float[np.ndarray, "side side"]


def frost(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """The image and a texture of frost, each with its weight."""
    return constant[0] * image + constant[1] * texture(len(image), random)


def texture(side: int, random: Random) -> Float[np.ndarray, "side side 3"]:
    """Needles over clouds, as light, uneven and blue as a photograph of frost."""
    pattern = standardised(needles(side, random)) + standardised(clouds(side, random))
    grey = random.uniform(*LIGHTNESS) + random.uniform(*CONTRAST) * standardised(pattern)
    return (grey[..., None] * TINT).clip(0, 1)


def needles(side: int, random: Random) -> Map:
    """Lines of up to a quarter of the side, fading, along a few directions."""
    length, total = max(2, side // 8), np.zeros((side, side))
    for degrees in random.uniform(-180, 180, size=NUM_DIRECTIONS).tolist():
        begin = (random.random((side, side)) < SEEDS).astype(np.float64)
        total += along_line(begin, length, length / 1.5, degrees)
    return total


def clouds(side: int, random: Random) -> Map:
    """Noise with the same variance in every octave: its amplitude falls as one over the frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    return np.fft.irfft2(np.fft.rfft2(random.normal(size=(side, side))) / frequency, s=(side, side))


def standardised(values: Map) -> Map:
    """Mean 0, standard deviation 1."""
    return (values - values.mean()) / max(values.std(), 1e-9)
