"""Pictures of what was there, what the model saw, and what it made of the rest."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from m3ae.model.architecture import Architecture
from m3ae.model.patches import to_image, to_patches

GREY = 0.5  # of a hidden patch
LEAST_PX = 128  # side of a picture that is shown: smaller ones are enlarged

Patches = Float[Tensor, "batch n values"]


class Triple(NamedTuple):
    """Pictures with values in [0, 1]."""

    original: Float[Tensor, "batch 3 side side"]
    masked: Float[Tensor, "batch 3 side side"]
    rebuilt: Float[Tensor, "batch 3 side side"]


def triple(
    a: Architecture,
    image: Float[Tensor, "batch 3 side side"],
    prediction: Patches,
    hidden: Bool[Tensor, "batch n"],
    mean: Float[Tensor, " 3"],
    std: Float[Tensor, " 3"],
) -> Triple:
    """Original, visible patches on grey, and visible patches with the prediction in place of the rest.

    ``image`` is normalised by ``mean`` and ``std`` of each channel, ``prediction`` as the model gives it.
    """

    def picture(patches: Patches) -> Float[Tensor, "batch 3 side side"]:
        pixels = to_image(patches, a.patch_px) * std.view(3, 1, 1) + mean.view(3, 1, 1)
        return pixels.clamp(0, 1)

    truth, is_hidden = to_patches(image, a.patch_px), hidden[:, :, None]
    predicted = denormalise_patches(prediction, truth) if a.norm_pix_loss else prediction
    grey = ((GREY - mean) / std).repeat(a.patch_px**2)
    masked, rebuilt = (torch.where(is_hidden, patches, truth) for patches in (grey, predicted))
    return Triple(picture(truth), picture(masked), picture(rebuilt))


def denormalise_patches(predicted: Patches, truth: Patches) -> Patches:
    """Give patches the mean and the variance of the true ones: the inverse of ``normalise_patches``."""
    variance, mean = truth.var(dim=-1, keepdim=True), truth.mean(dim=-1, keepdim=True)
    return predicted * (variance + 1e-6).sqrt() + mean


def sheet(rows: Sequence[Float[Tensor, "columns 3 side side"]]) -> UInt8[Tensor, "height width 3"]:
    """Pictures in rows and columns, each pixel as a square where they are small."""
    whole = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    scale = max(1, LEAST_PX // rows[0].shape[-1])
    pixels = (whole * 255).round().byte().permute(1, 2, 0)
    return pixels.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
