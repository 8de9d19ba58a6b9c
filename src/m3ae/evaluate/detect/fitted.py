"""What the scores know of the training set, and the features as the classifier's linear layer sees them.

Two kinds of features: *stored* ones, as the encoder gave them, and *normalised* ones, after the probe's
BatchNorm, for every score whose paper speaks of what enters the last linear layer. No torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from m3ae.errors import UserError
from m3ae.evaluate.detect.statistics import Statistics, collect
from m3ae.evaluate.scores import Classifier, FloatFeatures

T = TypeVar("T")
Scores = Float[np.ndarray, " count"]
Logits = Float[np.ndarray, "count classes"]

ROWS = 1024
"""Images that are scored at once."""
BATCH = 8192
"""Images per batch of the pass over the training set."""
BANK = 50_000
"""Training images that neighbours, quantiles and patterns come from: all of CIFAR, 1 in 26 of ImageNet."""
EPS = 1e-5  # of the probe's BatchNorm, as in Classifier.logits


@dataclass(frozen=True, eq=False)
class Fitted:
    """A training set and its classifier, as all scores use them."""

    classifier: Classifier
    statistics: Statistics
    """Of the stored features of all training images."""
    bank: FloatFeatures
    """Stored features of at most `BANK` training images, evenly spaced."""
    bank_classes: Int[np.ndarray, " bank"]
    kept: dict[Callable[["Fitted"], Any], Any] = field(default_factory=dict, repr=False)

    def once(self, make: Callable[["Fitted"], T]) -> T:
        """What ``make`` derives from the training set: computed when first asked for, then kept."""
        if make not in self.kept:
            self.kept[make] = make(self)
        found: T = self.kept[make]
        return found

    @property
    def scale(self) -> Float[np.ndarray, " width"]:
        """What the probe divides centred features by."""
        return np.sqrt(self.classifier.variance.astype(np.float64) + EPS)

    def normalise(self, x: FloatFeatures) -> FloatFeatures:
        """Features as the linear layer sees them (float64)."""
        normalised: FloatFeatures = (x.astype(np.float64) - self.classifier.mean) / self.scale
        return normalised

    def head(self, h: FloatFeatures) -> Logits:
        """Logits of normalised features."""
        logits: Logits = h @ self.classifier.weight.T.astype(np.float64) + self.classifier.bias
        return logits


Score = Callable[[Fitted, FloatFeatures], Scores]


def fit(
    x_train: FloatFeatures,
    classes: Int[np.ndarray, " count"],
    classifier: Classifier,
    bank_size: int = BANK,
) -> Fitted:
    """Read the training features once (a memory map may be larger than memory) and keep what scores need.

    Raises UserError for no images, a single class, labels that the classifier does not know, or features that
    are not finite.
    """
    if len(classifier.bias) < 2:
        raise UserError(
            f"scores: expected a classifier of at least two classes, got {len(classifier.bias)}; "
            "nothing is told apart by one; choose another task"
        )
    counts = np.bincount(classes.clip(min=0), minlength=len(classifier.bias))[: len(classifier.bias)]
    rows = range(0, len(x_train), BATCH)
    statistics = collect(((x_train[i : i + BATCH], classes[i : i + BATCH]) for i in rows), counts)
    chosen = np.linspace(0, len(x_train) - 1, min(bank_size, len(x_train))).astype(np.int64)
    return Fitted(classifier, statistics, np.asarray(x_train[chosen]), classes[chosen])


def bank_normalised(fitted: Fitted) -> FloatFeatures:
    """The bank as the linear layer sees it, in the bank's precision."""
    return fitted.normalise(fitted.bank).astype(fitted.bank.dtype)


def normalised_statistics(fitted: Fitted) -> Statistics:
    """The statistics of all training images as the linear layer sees them."""
    return fitted.statistics.normalised(fitted.classifier.mean, fitted.scale)


def by_rows(score: Score) -> Score:
    """Check the features, and score `ROWS` images at a time: memory does not grow with their number."""

    @wraps(score)
    def score_all(fitted: Fitted, x: FloatFeatures) -> Scores:
        check(x, len(fitted.classifier.mean))
        return np.concatenate([score(fitted, x[i : i + ROWS]) for i in range(0, len(x), ROWS)])

    return score_all


def check(x: FloatFeatures, width: int) -> None:
    """Raise UserError unless these are features of that width, all finite."""
    if x.ndim != 2 or x.shape[1] != width or not len(x):
        raise UserError(
            f"scores: expected features of shape (images, {width}), got {x.shape}; "
            "are they of the encoder that the classifier was trained on?"
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise UserError(
            f"scores: expected finite features, got NaN or infinity for image {row}; "
            "make the features again, or look for NaN in the weights"
        )
