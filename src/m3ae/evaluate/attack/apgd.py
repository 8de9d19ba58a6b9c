"""Auto-PGD (Croce and Hein 2020, Algorithm 1): PGD with momentum that halves its own step size."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from m3ae.evaluate.attack.losses import Loss, cross_entropy, loss_and_gradient
from m3ae.evaluate.attack.norms import per_image, project, random_start, steepest
from m3ae.evaluate.attack.victim import Images, Labels

Values = Float[Tensor, " batch"]
Truths = Bool[Tensor, " batch"]
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

    def __init__(self, first: Values) -> None:
        self.rises = torch.zeros_like(first)
        self.best_then, self.halved_then = first.clone(), torch.zeros_like(first, dtype=torch.bool)

    def note(self, before: Values, after: Values) -> None:
        """A step from one loss to another."""
        self.rises += after > before

    def halve(self, best: Values, steps: int) -> Truths:
        """After ``steps`` steps since the last checkpoint, with the best losses so far."""
        too_few = self.rises < RISES * steps
        stuck = ~self.halved_then & (best <= self.best_then)
        halved = too_few | stuck
        self.rises.zero_()
        self.best_then, self.halved_then = best.clone(), halved
        return halved


class Best:
    """The point of each image with the largest loss so far, and the first one that was classified wrong."""

    def __init__(self, x: Images, value: Values, gradient: Images, wrong: Truths) -> None:
        self.x, self.value, self.gradient = x.clone(), value.clone(), gradient.clone()
        self.found, self.fallen = x.clone(), wrong

    def note(self, x: Images, value: Values, gradient: Images, wrong: Truths) -> None:
        """What a step reached."""
        self.found = torch.where(per_image(wrong & ~self.fallen), x, self.found)
        self.fallen = self.fallen | wrong
        self.x, self.value, self.gradient = self.unless(value <= self.value, x, value, gradient)

    def unless(
        self, back: Truths, x: Images, value: Values, gradient: Images
    ) -> tuple[Images, Values, Images]:
        """A point with its loss and gradient, save where ``back``: there the best one with its own."""
        each = per_image(back)
        return (
            torch.where(each, self.x, x),
            torch.where(back, self.value, value),
            torch.where(each, self.gradient, gradient),
        )


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
    best = Best(x, value, gradient, logits.argmax(dim=1) != labels)
    step_size, judge, marks = torch.full_like(value, 2 * radius), Judge(value), checkpoints(steps)
    for step in range(1, steps + 1):
        ahead = project(x + per_image(step_size) * steepest(gradient, norm), images, radius, norm)
        share = 1.0 if step == 1 else MOMENTUM
        following = project(x + share * (ahead - x) + (1 - share) * (x - previous), images, radius, norm)
        previous, x, before = x, following, value
        value, gradient, logits = loss_and_gradient(victim, x, labels, loss)
        judge.note(before, value)
        best.note(x, value, gradient, logits.argmax(dim=1) != labels)
        if step in marks:
            halved = judge.halve(best.value, step - marks[marks.index(step) - 1])
            step_size = torch.where(halved, step_size / 2, step_size)
            x, value, gradient = best.unless(halved, x, value, gradient)
    return torch.where(per_image(best.fallen), best.found, best.x)
