"""The standard set of AutoAttack (Croce and Hein 2020): four attacks, each on the images still right."""

from collections.abc import Callable

import torch
from torch import nn

from m3ae.evaluate.attack.apgd import apgd
from m3ae.evaluate.attack.fab import fab
from m3ae.evaluate.attack.losses import targeted_dlr, targets_of
from m3ae.evaluate.attack.norms import per_image
from m3ae.evaluate.attack.square import square
from m3ae.evaluate.attack.victim import Images, Labels, is_right

Attack = Callable[[nn.Module, Images, Labels, float, str, torch.Generator], Images]
NUM_TARGETS = 9


def apgd_targeted(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    random: torch.Generator,
    *,
    steps: int = 100,
) -> Images:
    """APGD with the targeted DLR loss, once for each of nine targets (all others, where there are fewer)."""
    found, all_targets = images.clone(), targets_of(victim, images, labels, NUM_TARGETS)
    for targets in all_targets:
        still = is_right(victim, found, labels)
        if not still.any():
            break
        rows = still.nonzero()[:, 0]
        loss = targeted_dlr(targets[rows])
        found[rows] = apgd(victim, images[rows], labels[rows], radius, norm, random, loss=loss, steps=steps)
    return found


STANDARD: dict[str, Attack] = {"apgd": apgd, "apgdt": apgd_targeted, "fab": fab, "square": square}


def autoattack(
    victim: nn.Module, images: Images, labels: Labels, radius: float, norm: str, random: torch.Generator
) -> Images:
    """APGD-CE, APGD-T, FAB-T, Square; what one breaks is left to no other."""
    found = images.clone()
    for attack in STANDARD.values():
        rows = is_right(victim, found, labels).nonzero()[:, 0]
        if not len(rows):
            break
        tried = attack(victim, images[rows], labels[rows], radius, norm, random)
        wrong = ~is_right(victim, tried, labels[rows])
        found[rows] = torch.where(per_image(wrong), tried, found[rows])
    return found
