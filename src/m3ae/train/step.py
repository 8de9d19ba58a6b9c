"""One step of pre-training: forward, backward, update."""

from typing import NamedTuple

import torch
from torch import Tensor

from m3ae.data.stream.mixture import Counts
from m3ae.train.objective import RowErrors
from m3ae.train.part import Part
from m3ae.train.precision import autocast
from m3ae.train.sharded import whole
from m3ae.train.spread import Spread


class StepResult(NamedTuple):
    """What a step gives, on the device: nobody has waited for it."""

    losses: dict[str, Tensor]
    """This rank's share of each loss: over all ranks they add up to the step's mean."""
    grad_norm: Tensor
    """Of the whole step, the same at every rank."""
    rows: list[RowErrors]
    """Part by part, the loss of each of this rank's rows."""


def train_step(
    spread: Spread,
    optimizer: torch.optim.Optimizer,
    parts: list[Part],
    counts: Counts,
    lr: float,
    precision: str,
) -> StepResult:
    """Take one step at learning rate ``lr``; ``parts`` are this rank's rows of its ``counts`` samples.

    Gradients of the parts add up, and those of the ranks when the last part is done. Nothing here waits
    for the device.
    """
    optimizer.zero_grad(set_to_none=True)
    spread.objective.begin_step()
    losses: dict[str, Tensor] = {}
    rows: list[RowErrors] = []
    for number, part in enumerate(parts, 1):
        with spread.exchange(number == len(parts)):
            with autocast(precision, spread.ranks.device):
                result = spread.module(part, counts)
            # DDP and FSDP divide the sum over ranks by their number.
            (result.loss * spread.ranks.world).backward()
        for name, value in result.named.items():
            losses[name] = losses[name] + value.detach() if name in losses else value.detach()
        rows.append(result.rows)
    grad_norm = total_norm([p.grad for p in spread.parameters() if p.grad is not None])
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return StepResult(losses, grad_norm, rows)


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The 2-norm of all values of ``tensors``, wherever their parts lie."""
    return whole(torch.nn.utils.get_total_norm(tensors))
