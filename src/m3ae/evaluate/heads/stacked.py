"""Linear heads on one representation that differ in their learning rate alone: one product for all."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.evaluate.linear import LinearProbe

CHUNK = 4096  # rows that are judged at once: bounds memory and changes no number


class StackedHeads:
    """One linear probe per learning rate, in one matrix of (rates x classes) rows.

    All see the same batches, so each takes the steps that it would take alone: SGD with momentum as
    ``torch.optim.SGD`` defines it, cross-entropy, BatchNorm as in `evaluate.linear`. A head that overflows
    keeps that to its own rows. Weights start at 0, where DINO draws them: the problem is convex, and what a
    small rate leaves of random weights is noise in its answers (half a point in benchmarks/heads.py).
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        base_lrs: Sequence[float],
        *,
        momentum: float,
        weight_decay: float,
        device: torch.device,
    ) -> None:
        self.num_classes, self.momentum, self.weight_decay = num_classes, momentum, weight_decay
        self.first = LinearProbe(width, num_classes, torch.Generator()).to(device)
        self.norm = self.first.norm
        self.weight = torch.zeros(len(base_lrs) * num_classes, width, device=device)
        self.bias = torch.zeros(len(base_lrs) * num_classes, device=device)
        self.velocities = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self.rates = torch.tensor(base_lrs, dtype=torch.float32, device=device).repeat_interleave(num_classes)

    def logits(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch rates classes"]:
        """Logits of every head on features that are normalised."""
        return torch.addmm(self.bias, x, self.weight.T).unflatten(1, (-1, self.num_classes))

    def step(self, x: Float[Tensor, "batch width"], classes: Int[Tensor, " batch"], scale: float) -> None:
        """One step of every head, at ``scale`` times its base rate. The gradient is written out."""
        x = self.norm(x)
        gradient = self.logits(x).softmax(dim=2)
        gradient[torch.arange(len(x), device=x.device), :, classes] -= 1
        flat = gradient.div_(len(x)).flatten(1)
        velocity, velocity_of_bias = self.velocities
        velocity.addmm_(flat.T, x, beta=self.momentum)
        velocity_of_bias.mul_(self.momentum).add_(flat.sum(dim=0))
        if self.weight_decay:
            velocity.add_(self.weight, alpha=self.weight_decay)
            velocity_of_bias.add_(self.bias, alpha=self.weight_decay)
        self.weight.addcmul_(velocity, self.rates[:, None], value=-scale)
        self.bias.addcmul_(velocity_of_bias, self.rates, value=-scale)

    def judge(
        self, x: Float[Tensor, "count width"], classes: Int[Tensor, " count"], rows: Int[Tensor, " held"]
    ) -> tuple[list[float], list[bool]]:
        """Each head's accuracy (%) on ``rows``, and whether all its logits there are finite."""
        self.norm.eval()
        right = torch.zeros(len(self.rates) // self.num_classes, device=self.weight.device)
        is_finite = torch.ones_like(right, dtype=torch.bool)
        for some in rows.split(CHUNK):
            logits = self.logits(self.norm(rows_of(x, some, self.weight.device)))
            right += (logits.argmax(dim=2) == classes[some.to(classes.device), None]).sum(dim=0)
            is_finite &= logits.isfinite().flatten(2).all(dim=2).all(dim=0)
        return (100 * right.double() / len(rows)).tolist(), is_finite.tolist()

    def probe(self, index: int) -> LinearProbe:
        """The head of one rate, ready to be applied."""
        rows = slice(index * self.num_classes, (index + 1) * self.num_classes)
        with torch.no_grad():
            self.first.linear.weight.copy_(self.weight[rows])
            self.first.linear.bias.copy_(self.bias[rows])
        return self.first.eval()


def rows_of(
    x: Float[Tensor, "count width"], rows: Int[Tensor, " batch"], device: torch.device
) -> Float[Tensor, "batch width"]:
    """Some rows, as float32 on ``device``: ``x`` itself may be half precision and lie elsewhere."""
    return x[rows.to(x.device)].to(device, torch.float32)
