"""Balls about images: norms, steepest steps, projections. Everything stays in [0, 1] too."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from m3ae.evaluate.attack.victim import Images

NORMS = ("linf", "l2")
TINY = 1e-12


def size(change: Images, norm: str) -> Float[Tensor, " batch"]:
    """The norm of each image's change."""
    flat = change.flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def per_image(values: Shaped[Tensor, " batch"]) -> Shaped[Tensor, "batch 1 1 1"]:
    """One number or truth for each image, to be combined with images."""
    return values.view(-1, 1, 1, 1)


def steepest(gradient: Images, norm: str) -> Images:
    """The step of norm 1 that the gradient rises along the most."""
    if norm == "linf":
        return gradient.sign()
    return gradient / per_image(size(gradient, norm)).clamp(min=TINY)


def project(images: Images, clean: Images, radius: float, norm: str) -> Images:
    """The nearest images in the ball about ``clean``, then in [0, 1], which only shortens a change."""
    change = images - clean
    if norm == "linf":
        change = change.clamp(-radius, radius)
    else:
        change = change * (radius / per_image(size(change, norm)).clamp(min=TINY)).clamp(max=1)
    return (clean + change).clamp(0, 1)


def random_start(clean: Images, radius: float, norm: str, random: torch.Generator) -> Images:
    """A point on the ball's surface in a random direction, as APGD starts; then clipped to [0, 1]."""
    if norm == "linf":
        direction = torch.rand(clean.shape, generator=random) * 2 - 1
    else:
        direction = torch.randn(clean.shape, generator=random)
    direction = direction.to(clean.device)
    return project(clean + radius * direction / per_image(size(direction, norm)), clean, radius, norm)
