"""LARS as the authors' linear probe uses it: optax's form, which differs from timm's in two details."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Lars:
    """Layer-wise adaptive rate scaling (You et al. 2017) without weight decay.

    A gradient is scaled by ``trust_coefficient * |weights| / |gradient|`` (Euclidean norms of the whole
    tensor, the bias too), or by exactly 1 where either norm is 0. The learning rate ``lr`` is multiplied in
    *before* the momentum, so past steps keep the rate that they were taken with.

    No torch.optim.Optimizer: the first of these imports torch's compiler, as long as a small probe takes.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, trust_coefficient: float = 0.001
    ) -> None:
        self.weights = list(params)
        self.velocities = [torch.zeros_like(weights) for weights in self.weights]
        self.lr, self.momentum, self.trust_coefficient = lr, momentum, trust_coefficient

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weights in self.weights:
            weights.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step from the gradients that are there."""
        for weights, velocity in zip(self.weights, self.velocities, strict=True):
            if weights.grad is not None:
                trust = trust_ratio(weights, weights.grad, self.trust_coefficient)
                velocity.mul_(self.momentum).addcmul_(weights.grad, trust * self.lr)
                weights.sub_(velocity)


def trust_ratio(weights: Tensor, gradient: Tensor, coefficient: float) -> Tensor:
    """``coefficient * |weights| / |gradient|``, or 1 where either norm is 0 (a scalar)."""
    weights_norm, gradient_norm = weights.norm(), gradient.norm()
    ratio = coefficient * weights_norm / gradient_norm
    return torch.where((weights_norm > 0) & (gradient_norm > 0), ratio, torch.ones_like(ratio))
