"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of a step, as timm's Mixup in its mode `batch`.

Timm's own draws from NumPy's global generator and mixes within a process; here a step is mixed the same way
whatever the ranks.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from m3ae.config.models import RunSettings
from m3ae.data.stream.keyed import MIX, key_of

SWITCH = 0.5  # chance of CutMix where both are on, as in timm and DeiT
Views = UInt8[np.ndarray, "batch 3 size size"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mix:
    """How the rows of a step are mixed with their partners."""

    share: float = 1.0
    """Of the row itself, in its image and in its label."""
    box: Box | None = None
    """CutMix: top, bottom, left, right of what comes from the partner; None blends whole images."""

    def of(self, views: Views, partners: Views) -> Views:
        """The mixed images."""
        if self.box is not None:
            top, bottom, left, right = self.box
            mixed = views.copy()
            mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
            return mixed
        blended = views * np.float32(self.share) + partners * np.float32(1 - self.share)
        return blended.round().clip(0, 255).astype(np.uint8)


def draw_mix(settings: RunSettings, first: int) -> Mix:
    """The mix of the step that begins at position ``first`` of the stream."""
    mixup, cutmix = settings.supervised.mixup, settings.supervised.cutmix
    if not mixup and not cutmix:
        return Mix()
    rng = np.random.default_rng(int(key_of((settings.seed, MIX, first))[0]))
    if cutmix and (not mixup or rng.random() < SWITCH):
        box = cut_box(settings.data.image.size_px, rng.beta(cutmix, cutmix), rng)
        return Mix(share_outside(box, settings.data.image.size_px), box)
    return Mix(float(rng.beta(mixup, mixup)))


def cut_box(size: int, share: float, rng: np.random.Generator) -> Box:
    """A square of the area ``1 - share`` around a random pixel, cut off at the edges."""
    side = int(size * math.sqrt(1 - share))
    y, x = rng.integers(size, size=2).tolist()
    ends = [(max(at - side // 2, 0), min(at + (side + 1) // 2, size)) for at in (y, x)]
    return (*ends[0], *ends[1])


def share_outside(box: Box, size: int) -> float:
    """What is left of the row itself."""
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / size**2
