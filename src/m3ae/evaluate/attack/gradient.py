"""FGSM and PGD: follow the gradient of the cross-entropy, once or many times."""

import torch
from torch import nn

from m3ae.evaluate.attack.losses import cross_entropy, loss_and_gradient
from m3ae.evaluate.attack.norms import per_image, project, random_start, steepest
from m3ae.evaluate.attack.victim import Images, Labels


def fgsm(
    victim: nn.Module, images: Images, labels: Labels, radius: float, norm: str, random: torch.Generator
) -> Images:
    """One step to the surface of the ball (Goodfellow, Shlens, Szegedy 2015)."""
    _, gradient, _ = loss_and_gradient(victim, images, labels, cross_entropy)
    return project(images + radius * steepest(gradient, norm), images, radius, norm)


def pgd(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    random: torch.Generator,
    *,
    steps: int = 40,
    restarts: int = 1,
) -> Images:
    """Projected steps of 2.5 radius / steps from random starts (Madry et al. 2018).

    The first images on the way that are classified wrong, else the last ones.
    """
    found, fallen = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for _ in range(restarts):
        x = random_start(images, radius, norm, random)
        for step in range(steps + 1):
            _, gradient, logits = loss_and_gradient(victim, x, labels, cross_entropy)
            wrong = logits.argmax(dim=1) != labels
            found = torch.where(per_image(wrong & ~fallen), x, found)
            fallen |= wrong
            if step < steps:
                x = project(x + 2.5 * radius / steps * steepest(gradient, norm), images, radius, norm)
        found = torch.where(per_image(fallen), found, x)
    return found
