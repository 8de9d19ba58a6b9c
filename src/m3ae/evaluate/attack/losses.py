"""What attacks raise: cross-entropy, and the difference of logits ratio (Croce and Hein 2020)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from m3ae.errors import UserError
from m3ae.evaluate.attack.victim import Images, Labels, Logits

Loss = Callable[[Logits, Labels], Float[Tensor, " batch"]]
TINY = 1e-12


def cross_entropy(logits: Logits, labels: Labels) -> Float[Tensor, " batch"]:
    """Of each image."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Logits, labels: Labels) -> Float[Tensor, " batch"]:
    """The right logit minus the largest of the others: negative where the answer is wrong."""
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return right - others.amax(dim=1)


def dlr(logits: Logits, labels: Labels) -> Float[Tensor, " batch"]:
    """Minus the margin, over the distance of the first and the third logit. Needs three classes."""
    ordered = ranked(logits, 3)
    return -margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + TINY)


def targeted_dlr(targets: Labels) -> Loss:
    """The loss that rises as the class ``targets`` overtakes the right one. Needs four classes."""

    def loss(logits: Logits, labels: Labels) -> Float[Tensor, " batch"]:
        ordered = ranked(logits, 4)
        right, target = (logits.gather(1, classes[:, None])[:, 0] for classes in (labels, targets))
        return -(right - target) / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + TINY)

    return loss


def ranked(logits: Logits, least: int) -> Logits:
    """Logits from the largest. Raises UserError for fewer than ``least`` classes."""
    if logits.shape[1] < least:
        raise UserError(
            f"attack: this loss needs {least} classes, the task has {logits.shape[1]}; attack with fgsm, "
            "pgdN, square or fab"
        )
    return logits.sort(dim=1, descending=True).values


def targets_of(victim: nn.Module, images: Images, labels: Labels, most: int) -> list[Labels]:
    """For each image its ``most`` most probable wrong classes, as one list of targets per rank."""
    with torch.no_grad():
        logits = victim(images).scatter(1, labels[:, None], -torch.inf)
    order = logits.argsort(dim=1, descending=True)[:, : min(most, logits.shape[1] - 1)]
    return list(order.T)


def loss_and_gradient(
    victim: nn.Module, images: Images, labels: Labels, loss: Loss
) -> tuple[Float[Tensor, " batch"], Images, Logits]:
    """Each image's loss, its gradient with respect to the image, and the logits.

    Raises UserError for a gradient that is not finite: its sign is 0, and what nobody moves looks robust.
    """
    with torch.enable_grad():
        x = images.detach().requires_grad_(True)
        logits = victim(x)
        values = loss(logits, labels)
        gradient = torch.autograd.grad(values.sum(), x)[0]
    if not gradient.isfinite().all():
        raise UserError(
            "attack: expected a finite gradient on the way, got NaN or infinity; look for a root or a "
            "division by 0 in the model"
        )
    return values.detach(), gradient, logits.detach()
