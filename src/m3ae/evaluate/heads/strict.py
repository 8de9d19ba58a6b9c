"""The authors' linear probe exactly: the encoder runs again in every epoch, on augmented images.

Geng et al. 2022, after the authors' linear_main.py. `evaluate.linear.fit` is the same on features that are
stored once (the quick variant).
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.config.evaluation import Probe
from m3ae.evaluate.heads.epochs import EpochsOf, Steps
from m3ae.evaluate.lars import Lars
from m3ae.evaluate.linear import LinearProbe, is_correct, learning_rate
from m3ae.evaluate.probe import Labelled

Encode = Callable[[Float[Tensor, "batch ..."]], Float[Tensor, "batch width"]]


class Selected(NamedTuple):
    """A probe that was chosen on the test set."""

    probe: LinearProbe
    epoch: int
    """After whose first step."""


class Strict(NamedTuple):
    """A probe, and its accuracies on the test set while it was trained."""

    probe: LinearProbe
    """After the last step: no test label has touched it."""
    accuracies: list[float]
    """On the test images (%): after the *first* step of each epoch, then after the very last step."""
    selected: Selected | None
    """What the authors would report, if it was asked for."""


def fit_strict(
    encode: Encode,
    epochs_of: EpochsOf,
    num_train: int,
    test: Labelled,
    num_classes: int,
    recipe: Probe,
    base_lr: float,
    seed: int,
    select_on: Labelled | None = None,
) -> Strict:
    """Train one probe with LARS on features that are computed anew in every epoch, without gradients.

    ``test`` are the test images' features: the encoder is frozen and they are not augmented. ``select_on`` is
    there only to compare with the paper's number: the authors measure after the first step of each epoch
    (never after the last one) and report the best, chosen **on the test set**, the first of equal ones. They
    also drop the test images of an incomplete batch (49,152 of 50,000 remain): pass the set cut likewise.
    Raises UserError if an epoch has other batches than ``num_train`` and the recipe say.
    """
    steps = Steps.of(num_train, recipe.batch_size)
    num_warmup, num_steps = recipe.warmup_epochs * steps.per_epoch, recipe.epochs * steps.per_epoch
    peak = base_lr * steps.batch_size / 256
    probe = LinearProbe(test.x.shape[1], num_classes, torch.Generator().manual_seed(seed)).to(test.x.device)
    optimizer = Lars(probe.linear.parameters(), 0.0, recipe.momentum, recipe.trust_coefficient)
    accuracies, highest, selected = [], -1.0, None
    for step, (images, classes) in steps.batches(epochs_of, recipe.epochs):
        optimizer.lr = learning_rate(step, peak, num_warmup, num_steps)
        take_step(probe, optimizer, encode, images, classes)
        if step % steps.per_epoch == 0:
            accuracies.append(accuracy(probe, test))
            if select_on and (found := accuracy(probe, select_on)) > highest:
                highest, selected = found, Selected(copy.deepcopy(probe), step // steps.per_epoch)
    return Strict(probe, [*accuracies, accuracy(probe, test)], selected)


def take_step(
    probe: LinearProbe,
    optimizer: Lars,
    encode: Encode,
    images: Float[Tensor, "batch ..."],
    classes: Int[Tensor, " batch"],
) -> None:
    """Encode a batch without gradients, and take a step of the probe on it."""
    probe.train()
    with torch.no_grad():
        x = encode(images)
    optimizer.zero_grad()
    F.cross_entropy(probe(x), classes).backward()
    optimizer.step()


def accuracy(probe: LinearProbe, test: Labelled) -> float:
    """Share of right answers (%) of the probe, which is left in eval mode."""
    return 100 * is_correct(probe.eval(), *test).double().mean().item()
