"""ImageNet-C's fifteen corruptions in five severities, made on the fly (Hendrycks and Dietterich 2019).

Kinds, formulas and constants are the authors' (hendrycks/robustness, ImageNet-C/create_c). Ours differ thus
(docs/fidelity.md): frost is drawn here, pasted from photographs there; ImageMagick's motion blur is rebuilt
in NumPy; nothing passes through JPEG of quality 85, as which the files of ImageNet-C are stored.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from m3ae.errors import UserError
from m3ae.evaluate.shift import blur, digital, frost, noise, weather, zoom
from m3ae.evaluate.shift.constants import SIZES

Image = UInt8[np.ndarray, "height width 3"]
Kind = Callable[[noise.Pixels, tuple[float, ...], np.random.Generator], noise.Pixels]

FUNCTIONS: dict[str, Kind] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": zoom.zoom_blur,
    "snow": weather.snow,
    "frost": frost.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
KINDS = tuple(FUNCTIONS)
SEVERITIES = (1, 2, 3, 4, 5)

EIGHT_BITS = ("motion_blur", "pixelate", "jpeg_compression")  # made by programs that round

ALEXNET = {
    "gaussian_noise": 88.6428, "shot_noise": 89.4468, "impulse_noise": 92.2640, "defocus_blur": 81.9880,
    "glass_blur": 82.6268, "motion_blur": 78.5948, "zoom_blur": 79.8360, "snow": 86.6816, "frost": 82.6572,
    "fog": 81.9324, "brightness": 56.4592, "contrast": 85.3204, "elastic_transform": 64.6056,
    "pixelate": 71.7840, "jpeg_compression": 60.6500,
}  # fmt: skip
"""AlexNet's error of each kind on ImageNet-C, the mean over the five severities (%).

The authors' own numbers, as google-research/augmix (imagenet.py) has them from hendrycks/robustness.
"""
ALEXNET_ERRORS: Float[np.ndarray, " kinds"] = np.array([ALEXNET[kind] for kind in KINDS])
"""The same in the order of ``KINDS``, as ``mean_corruption_error`` takes them."""


def corrupt(image: Image, kind: str, severity: int, *, seed: int, item: int) -> Image:
    """A square image as the encoder would see it, corrupted: a pure function of all its arguments.

    The constants are the authors' for 32, 64 or 224 pixels (CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C),
    whichever is nearest on a logarithmic scale: 48 pixels get Tiny-ImageNet-C's, 256 get ImageNet-C's.
    Raises UserError for a kind or severity that ImageNet-C does not have.
    """
    check(kind, severity)
    assert image.shape[0] == image.shape[1], f"a square image, not {image.shape}"
    constant = constants_for(image.shape[0])[kind][severity - 1]
    random = np.random.default_rng([seed, item, KINDS.index(kind), severity])
    corrupted = FUNCTIONS[kind](image / 255, constant, random).clip(0, 1) * 255
    if kind in EIGHT_BITS:
        corrupted = corrupted.round()
    return corrupted.astype(np.uint8)  # cut, as theirs are


def check(kind: str, severity: int) -> None:
    """Raise UserError unless both are ImageNet-C's."""
    if kind not in FUNCTIONS:
        raise UserError(f"corruption {kind!r}: expected one of {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise UserError(f"severity {severity} of {kind}: expected one of {', '.join(map(str, SEVERITIES))}")


def constants_for(side: int) -> dict[str, list[tuple[float, ...]]]:
    """The constants whose images are nearest in size."""
    nearest = min(SIZES, key=lambda size: abs(math.log(side / size)))
    return SIZES[nearest]


def mean_corruption_error(
    errors: Float[np.ndarray, "kinds severities"], baseline: Float[np.ndarray, " kinds"] | None = None
) -> float:
    """mCE (%): each kind's error over that of ``baseline`` (its mean over severities), the mean over kinds.

    Errors and baseline in the same unit. Without a baseline: the plain mean error, in the errors' unit.
    """
    means = errors.mean(axis=1)
    return float(means.mean()) if baseline is None else float(100 * (means / baseline).mean())
