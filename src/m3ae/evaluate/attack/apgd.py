"""Auto-PGD (Croce and Hein 2020, Algorithm 1): PGD with momentum that halves its own step size."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from m3ae.evaluate.attack.losses import Loss, cross_entropy, loss_and_gradient
from m3ae.evaluate.attack.norms import per_image, project, random_start, steepest
from m3ae.evaluate.attack.victim import Images, Labels

MOMENTUM = 0.75
RISES = 0.75
"""Share of the steps since the last checkpoint at which the loss must have risen."""


def checkpoints(steps: int) -> list[int]:
    """After how many steps the step size is judged: 22 of 100, then at shrinking distances of 6 and more."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(round(share * steps, 9)) for share in shares if share <= 1]


class Judge:
    """Which images' step size must be halved, judged at checkpoints."""

    def __init__(self, first: Float[Tensor, " batch"]) -> None:
        self.rises = torch.zeros_like(first)
        self.best_then, self.halved_then = first.clone(), torch.zeros_like(first, dtype=torch.bool)

    def note(self, before: Float[Tensor, " batch"], after: Float[Tensor, " batch"]) -> None:
        """A step from one loss to another."""
        self.rises += after > before

    def halve(self, best: Float[Tensor, " batch"], steps: int) -> Bool[Tensor, " batch"]:
        """After ``steps`` steps since the last checkpoint, with the best losses so far."""
        too_few = self.rises < RISES * steps
        stuck = ~self.halved_then & (best <= self.best_then)
        halved = too_few | stuck
        self.rises.zero_()
        self.best_then, self.halved_then = best.clone(), halved
        return halved


def apgd(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    random: torch.Generator,
    *,
    loss: Loss = cross_entropy,
    steps: int = 100,
) -> Images:
    """The first images on the way that are classified wrong, else those with the largest loss."""
    x = previous = random_start(images, radius, norm, random)
    value, gradient, logits = loss_and_gradient(victim, x, labels, loss)
    best, best_x, best_gradient = value.clone(), x.clone(), gradient.clone()
    fallen = logits.argmax(dim=1) != labels
    found = x.clone()
    step_size, judge, marks = torch.full_like(value, 2 * radius), Judge(value), checkpoints(steps)
    for step in range(steps):
        ahead = project(x + per_image(step_size) * steepest(gradient, norm), images, radius, norm)
        share = 1.0 if step == 0 else MOMENTUM
        following = project(x + share * (ahead - x) + (1 - share) * (x - previous), images, radius, norm)
        previous, x, before = x, following, value
        value, gradient, logits = loss_and_gradient(victim, x, labels, loss)
        judge.note(before, value)
        wrong = logits.argmax(dim=1) != labels
        found = torch.where(per_image(wrong & ~fallen), x, found)
        fallen |= wrong
        better = value > best
        best = torch.where(better, value, best)
        best_x = torch.where(per_image(better), x, best_x)
        best_gradient = torch.where(per_image(better), gradient, best_gradient)
        if step + 1 in marks[1:]:
            halved = judge.halve(best, step + 1 - marks[marks.index(step + 1) - 1])
            step_size = torch.where(halved, step_size / 2, step_size)
            x = torch.where(per_image(halved), best_x, x)
            value = torch.where(halved, best, value)
            gradient = torch.where(per_image(halved), best_gradient, gradient)
    return torch.where(per_image(fallen), found, best_x)
