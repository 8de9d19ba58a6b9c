"""Targeted FAB: smallest changes, by steps to linearised decision boundaries (Croce and Hein 2020b)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m3ae.evaluate.attack.losses import Loss, loss_and_gradient, targets_of
from m3ae.evaluate.attack.norms import TINY, per_image, size
from m3ae.evaluate.attack.victim import Images, Labels, Logits

OVERSHOOT, BACK, PULL = 1.05, 0.9, 0.1  # eta, beta and alpha_max of the paper
HALVINGS = 40


def fab(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    random: torch.Generator,
    *,
    num_targets: int = 9,
    steps: int = 100,
) -> Images:
    """The nearest wrong images that were found, where they lie in the ball; else the images themselves.

    Starts from the images, once for each target, as AutoAttack does with one restart.
    """
    best, nearest = images.clone(), torch.full((len(images),), torch.inf, device=images.device)
    for targets in targets_of(victim, images, labels, num_targets):
        reached, distance = to_target(victim, images, labels, targets, norm, steps)
        closer = distance < nearest
        best = torch.where(per_image(closer), reached, best)
        nearest = torch.where(closer, distance, nearest)
    return torch.where(per_image(nearest <= radius), best, images)


def to_target(
    victim: nn.Module, images: Images, labels: Labels, targets: Labels, norm: str, steps: int
) -> tuple[Images, Float[Tensor, " batch"]]:
    """The nearest images at which ``targets`` overtake the right class, and their distances (inf: none)."""
    x, best = images.clone(), images.clone()
    nearest = torch.full((len(images),), torch.inf, device=images.device)
    for _ in range(steps):
        gap, normal, _ = loss_and_gradient(victim, x, labels, gap_to(targets))
        here, there = (to_plane(start, x, gap, normal, norm) for start in (x, images))
        d_here, d_there = size(here - x, norm), size(there - images, norm)
        pull = per_image((d_here / (d_here + d_there).clamp(min=TINY)).clamp(max=PULL))
        x = (1 - pull) * (x + OVERSHOOT * (here - x)) + pull * (images + OVERSHOOT * (there - images))
        x = x.clamp(0, 1)
        with torch.no_grad():
            wrong = victim(x).argmax(dim=1) != labels
        distance = size(x - images, norm)
        closer = wrong & (distance < nearest)
        best = torch.where(per_image(closer), x, best)
        nearest = torch.where(closer, distance, nearest)
        x = torch.where(per_image(wrong), images + BACK * (x - images), x)
    return best, nearest


def gap_to(targets: Labels) -> Loss:
    """How far a target's logit lies above the right one's: negative until it overtakes."""

    def gap(logits: Logits, labels: Labels) -> Float[Tensor, " batch"]:
        right, target = (logits.gather(1, classes[:, None])[:, 0] for classes in (labels, targets))
        return target - right

    return gap


def to_plane(start: Images, x: Images, gap: Float[Tensor, " batch"], normal: Images, norm: str) -> Images:
    """The point of the box nearest to ``start`` on the plane where the gap, linearised at ``x``, is 0.

    The nearest point is ``start`` moved along one direction and clipped, for both norms; how far is found by
    halving. Where the box does not reach the plane: the corner that comes nearest to it.
    """
    value = gap + ((start - x) * normal).flatten(1).sum(dim=1)
    direction = normal.sign() if norm == "linf" else normal
    direction = direction * per_image(torch.where(value > 0, -1.0, 1.0))
    low = torch.zeros_like(value)
    smallest = torch.where(direction == 0, torch.inf, direction.abs()).flatten(1).amin(dim=1)
    high = (1 / smallest).clamp(max=1e12)  # every coordinate that moves has reached the box's side
    for _ in range(HALVINGS):
        middle = torch.where(high > 4 * low + 1e-9, (low * high + 1e-18).sqrt(), (low + high) / 2)
        moved = (start + per_image(middle) * direction).clamp(0, 1)
        there = gap + ((moved - x) * normal).flatten(1).sum(dim=1)
        crossed = there * value.sign() <= 0
        low, high = torch.where(crossed, low, middle), torch.where(crossed, middle, high)
    return (start + per_image(high) * direction).clamp(0, 1)
