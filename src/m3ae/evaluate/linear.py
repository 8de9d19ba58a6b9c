"""The authors' linear probe on stored features: BatchNorm, one linear layer, LARS, cosine schedule.

Geng et al. 2022, after the authors' linear_main.py. They augment the training images in every epoch; features
that are stored once are not augmented: docs/fidelity.md, "quick variant".
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from m3ae.config.evaluation import Probe
from m3ae.evaluate.lars import Lars

Inputs = Float[Tensor, "count width"]
Classes = Int[Tensor, " count"]

# Standard deviation of a unit normal cut at +-2; flax divides by it, so that the cut one has the wished one.
TRUNCATED_STD = 0.87962566103423978


class BatchNorm(nn.Module):
    """Batch normalisation without scale and bias, as flax computes it.

    Unlike torch's, the running variance is the biased one; ``momentum`` 0.9 is torch's 0.1.
    """

    def __init__(self, width: int, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.mean: Tensor
        self.variance: Tensor

    @torch.no_grad()  # no parameter of ours and a frozen encoder: nothing to differentiate
    def forward(self, x: Inputs) -> Inputs:
        """Normalise by the batch when training, else by the running statistics."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean = x.mean(dim=0)
            variance = (x - mean).square().mean(dim=0)  # on a CPU, 10 times as fast as torch.var_mean
            self.mean.lerp_(mean, 1 - self.momentum)
            self.variance.lerp_(variance, 1 - self.momentum)
        return (x - mean) * torch.rsqrt(variance + self.eps)


class LinearProbe(nn.Module):
    """BatchNorm and one linear layer, initialised as flax's Dense: LeCun normal weights, bias 0."""

    def __init__(self, width: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = BatchNorm(width)
        self.linear = nn.Linear(width, num_classes)
        std = 1 / math.sqrt(width) / TRUNCATED_STD
        nn.init.trunc_normal_(self.linear.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Inputs) -> Float[Tensor, "count classes"]:
        """Logits."""
        return self.linear(self.norm(x))


def fit(
    x: Inputs, classes: Classes, num_classes: int, recipe: Probe, base_lr: float, seed: int
) -> LinearProbe:
    """Train a probe with one learning rate; the weights after the last epoch count.

    An incomplete last batch is dropped, as the authors do; a set smaller than a batch is one batch.
    """
    generator = torch.Generator().manual_seed(seed)
    probe = LinearProbe(x.shape[1], num_classes, generator).to(x.device)
    batch_size = min(recipe.batch_size, len(x))
    peak = base_lr * batch_size / 256
    steps_per_epoch = len(x) // batch_size
    num_warmup, num_steps = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    optimizer = Lars(probe.linear.parameters(), 0.0, recipe.momentum, recipe.trust_coefficient)
    for step, rows in enumerate(shuffled_batches(len(x), batch_size, recipe.epochs, generator)):
        rows = rows.to(x.device)
        optimizer.lr = learning_rate(step, peak, num_warmup, num_steps)
        optimizer.zero_grad()
        F.cross_entropy(probe(x[rows]), classes[rows]).backward()
        optimizer.step()
    return probe.eval()


def shuffled_batches(
    count: int, batch_size: int, epochs: int, generator: torch.Generator
) -> Iterator[Int[Tensor, " batch"]]:
    """Row numbers of every batch: a new order in each epoch, whole batches only."""
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator)[: count // batch_size * batch_size].split(
            batch_size
        )


def learning_rate(step: int, peak: float, num_warmup: int, num_steps: int) -> float:
    """Linear from 0 to ``peak`` over the warm-up, then half a cosine down to 0."""
    if step < num_warmup:
        return peak * step / num_warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / (num_steps - num_warmup)))


@torch.inference_mode()
def is_correct(probe: LinearProbe, x: Inputs, classes: Classes) -> Bool[Tensor, " count"]:
    """Whether the largest logit is that of the right class, per image; never where one is not finite."""
    logits = torch.cat([probe(part) for part in x.split(8192)])
    return (logits.argmax(dim=1) == classes) & logits.isfinite().all(dim=1)
