"""LARS as the authors' linear probe uses it: optax's form, which differs from timm's in two details."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017) without weight decay.

    A gradient is scaled by ``trust_coefficient * |weights| / |gradient|`` (Euclidean norms of the whole
    tensor, the bias too), or by exactly 1 where either norm is 0. The learning rate is multiplied in
    *before* the momentum, so past steps keep the rate that they were taken with.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, trust_coefficient: float = 0.001
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "trust_coefficient": trust_coefficient})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step from the gradients that are there."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                trust = trust_ratio(weights, weights.grad, group["trust_coefficient"])
                state = self.state[weights]
                if not state:
                    state["velocity"] = torch.zeros_like(weights)
                velocity = state["velocity"]
                velocity.mul_(group["momentum"]).addcmul_(weights.grad, trust * group["lr"])
                weights.sub_(velocity)
        return loss


def trust_ratio(weights: Tensor, gradient: Tensor, coefficient: float) -> Tensor:
    """``coefficient * |weights| / |gradient|``, or 1 where either norm is 0 (a scalar)."""
    weights_norm, gradient_norm = weights.norm(), gradient.norm()
    ratio = coefficient * weights_norm / gradient_norm
    return torch.where((weights_norm > 0) & (gradient_norm > 0), ratio, torch.ones_like(ratio))
