"""ImageNet-C's fifteen corruptions in five severities, made on the fly (Hendrycks and Dietterich 2019).

After hendrycks/robustness, create_c/make_imagenet_c.py and make_cifar_c.py: kinds, formulas, constants. Drawn
here and pasted there: the frost; drawn by SciPy and by ImageMagick there: the motion blur (docs/fidelity.md).
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from m3ae.errors import UserError
from m3ae.evaluate.shift import blur, digital, noise, weather
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
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
KINDS = tuple(FUNCTIONS)
SEVERITIES = (1, 2, 3, 4, 5)

ALEXNET = {
    "gaussian_noise": 88.6, "shot_noise": 89.4, "impulse_noise": 92.3, "defocus_blur": 82.0,
    "glass_blur": 82.6, "motion_blur": 78.6, "zoom_blur": 79.8, "snow": 86.7, "frost": 82.7, "fog": 81.9,
    "brightness": 56.5, "contrast": 85.3, "elastic_transform": 64.6, "pixelate": 71.8,
    "jpeg_compression": 60.7,
}  # fmt: skip
"""AlexNet's error of each kind on ImageNet-C, the mean over severities (%; ibid., App. C, Table 4)."""


def corrupt(image: Image, kind: str, severity: int, *, seed: int, item: int) -> Image:
    """A square image as the encoder would see it, corrupted: a pure function of all its arguments.

    The constants are the authors' for 224 or for 32 pixels, whichever is nearer on a logarithmic scale.
    Raises UserError for a kind or severity that ImageNet-C does not have.
    """
    check(kind, severity)
    constant = constants_for(image.shape[0])[kind][severity - 1]
    random = np.random.default_rng([seed, item, KINDS.index(kind), severity])
    corrupted = FUNCTIONS[kind](image / 255, constant, random)
    if kind in ("pixelate", "jpeg_compression"):
        return np.round(corrupted * 255).astype(np.uint8)  # eight bits already
    return (corrupted.clip(0, 1) * 255).astype(np.uint8)  # cut, as theirs are


def check(kind: str, severity: int) -> None:
    """Raise UserError unless both are ImageNet-C's."""
    if kind not in FUNCTIONS:
        raise UserError(f"corruption {kind!r}: expected one of {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise UserError(f"severity {severity} of {kind}: expected 1 to 5")


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
