"""Many linear heads in one pass over stored features: learning rate x layer x pooling.

The form is that of DINO's and DINOv2's linear evaluation (Caron et al. 2021; Oquab et al. 2023, App. B.3):
SGD with momentum and a cosine, a grid of rates and of representations, the best head kept. Theirs is
chosen on the validation set that the paper reports; ours on a part of the training set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.errors import UserError
from m3ae.evaluate.heads.choose import best_of, held_rows
from m3ae.evaluate.heads.stacked import StackedHeads, rows_of
from m3ae.evaluate.linear import LinearProbe, learning_rate, shuffled_batches

# Of DINOv2's linear evaluation (facebookresearch/dinov2, dinov2/eval/linear.py), for a batch of 256.
BASE_LRS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)

Features = dict[str, Float[Tensor, "count _"]]
"""Representations of the same images by name, such as `layer4/cls`; their widths may differ."""


@dataclass(frozen=True)
class Grid:
    """What is trained: a head for each of ``base_lrs`` on each representation, 52 for 4 of them."""

    base_lrs: Sequence[float] = BASE_LRS
    """Learning rates for a batch of 256."""
    epochs: int = 10
    batch_size: int = 1024
    """Samples per step; a smaller training set is one batch, an incomplete last one is dropped."""
    warmup_epochs: int = 0
    """Linear warm-up, then cosine to 0 (epochs)."""
    momentum: float = 0.9
    weight_decay: float = 0.0
    """Added to the gradient, as in ``torch.optim.SGD``."""
    validation_share: float = 0.1
    """Share of the training set on which a head is chosen."""


class Head(NamedTuple):
    """One head of the grid."""

    representation: str
    base_lr: float


class Swept(NamedTuple):
    """The head that was chosen, trained on the whole training set, and what it was chosen among."""

    probe: LinearProbe
    """For features of ``chosen.representation``; apply it once to the test set (`linear.is_correct`)."""
    chosen: Head
    accuracies: dict[Head, float]
    """Of every head that stayed finite, on the validation part of the training set (%)."""
    diverged: list[Head]
    """Heads with logits that are not finite; never chosen."""


def sweep(
    features: Features, classes: Int[Tensor, " count"], num_classes: int, grid: Grid, seed: int
) -> Swept:
    """Train all heads, choose one on a part of the training set, and train that one again on all of it.

    The second training costs one head of the pass and gives the test set a probe that has seen as many
    images as the paper's. A tie goes to the head named first (representations, then rates). The heads train
    where ``classes`` lie; features may be in half precision or in memory elsewhere.
    Raises UserError if all heads diverge, or no class has two images.
    """
    held = torch.from_numpy(held_rows(classes.cpu().numpy(), grid.validation_share, seed, "sweep"))
    chosen_on, trained_on = held.nonzero()[:, 0], (~held).nonzero()[:, 0]
    accuracies, diverged = {}, []
    for name, stacked in train_heads(features, classes, num_classes, trained_on, grid, seed).items():
        found = zip(grid.base_lrs, *stacked.judge(features[name], classes, chosen_on), strict=True)
        for base_lr, accuracy, is_finite in found:
            if is_finite:
                accuracies[Head(name, base_lr)] = accuracy
            else:
                diverged.append(Head(name, base_lr))
    if not accuracies:
        raise UserError(f"sweep: all {len(diverged)} heads diverged; put smaller rates into base_lrs")
    chosen = best_of(accuracies)
    return Swept(refit(features, classes, num_classes, chosen, grid, seed), chosen, accuracies, diverged)


def refit(
    features: Features, classes: Int[Tensor, " count"], num_classes: int, head: Head, grid: Grid, seed: int
) -> LinearProbe:
    """One head of the grid, trained on all images. Raises UserError if it diverges on them."""
    single = replace(grid, base_lrs=[head.base_lr])
    one = {head.representation: features[head.representation]}
    rows = torch.arange(len(classes))
    stacked = train_heads(one, classes, num_classes, rows, single, seed)[head.representation]
    if not stacked.weight.isfinite().all():
        raise UserError(f"sweep: {head} diverged on the whole training set; put smaller rates into base_lrs")
    return stacked.probe(0)


def train_heads(
    features: Features,
    classes: Int[Tensor, " count"],
    num_classes: int,
    rows: Int[Tensor, " rows"],
    grid: Grid,
    seed: int,
) -> dict[str, StackedHeads]:
    """All heads after their last epoch on ``rows``, by representation; all see the same batches."""
    device = classes.device
    heads = {
        name: StackedHeads(
            x.shape[1],
            num_classes,
            grid.base_lrs,
            momentum=grid.momentum,
            weight_decay=grid.weight_decay,
            device=device,
        )
        for name, x in features.items()
    }
    batch_size = min(grid.batch_size, len(rows))
    steps_per_epoch = len(rows) // batch_size
    num_warmup, num_steps = grid.warmup_epochs * steps_per_epoch, grid.epochs * steps_per_epoch
    order = shuffled_batches(len(rows), batch_size, grid.epochs, torch.Generator().manual_seed(seed))
    for step, places in enumerate(order):
        scale = learning_rate(step, batch_size / 256, num_warmup, num_steps)
        batch = rows[places]
        wanted = classes[batch.to(device)]
        for name, stacked in heads.items():
            stacked.step(rows_of(features[name], batch, device), wanted, scale)
    return heads
