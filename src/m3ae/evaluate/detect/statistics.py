"""Means and covariances of training features in one pass, whatever the order of the images. No torch.

What is kept does not grow with the images: two matrices of width x width, two of classes x width (float64).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from m3ae.errors import UserError
from m3ae.evaluate.scores import FloatFeatures, Gaussians, whiten

Classes = Int[np.ndarray, " count"]
Square = Float[np.ndarray, "width width"]


class Statistics(NamedTuple):
    """What the distance scores need to know of the training features."""

    counts: Int[np.ndarray, " classes"]
    """Training images of each class."""
    means: Float[np.ndarray, "classes width"]
    """Class means; 0 for a class without images, which has no distribution."""
    within: Square
    """The mean of the per-class covariances, each divided by its class's count (as Figure 6 needs it)."""
    mean: Float[np.ndarray, " width"]
    """The mean of all images."""
    covariance: Square
    """The covariance of all images, divided by their number."""

    def gaussians(self) -> Gaussians:
        """One normal distribution per class that has images, as ``scores.fit_gaussians`` fits it."""
        return Gaussians(self.means[self.counts > 0], whiten(self.within, self.rounding_variance()))

    def background(self) -> Gaussians:
        """One normal distribution for all images (Ren et al. 2021)."""
        return Gaussians(self.mean[None], whiten(self.covariance, self.rounding_variance()))

    def rounding_variance(self) -> float:
        """As ``scores.rounding_variance``, from the moments."""
        mean_square_norm = np.trace(self.covariance) + self.mean @ self.mean
        return float(np.finfo(np.float32).eps ** 2 * mean_square_norm)

    def normalised(
        self, mean: Float[np.ndarray, " width"], scale: Float[np.ndarray, " width"]
    ) -> "Statistics":
        """The statistics of ``(x - mean) / scale``."""
        squared = np.outer(scale, scale)
        means = np.where(self.counts[:, None] > 0, (self.means - mean) / scale, 0)
        centre, covariance = (self.mean - mean) / scale, self.covariance / squared
        return Statistics(self.counts, means, self.within / squared, centre, covariance)

    def complement(
        self, origin: Float[np.ndarray, " width"], num_principal: int
    ) -> Float[np.ndarray, "width _"]:
        """An orthonormal basis of what the ``num_principal`` directions of largest mean square leave over.

        Squares are taken about ``origin`` (Wang et al. 2022, ViM, Sec. 4.1).
        """
        offset = self.mean - origin
        _, directions = np.linalg.eigh(self.covariance + np.outer(offset, offset))
        return directions[:, : len(origin) - num_principal]


def collect(
    batches: Iterable[tuple[FloatFeatures, Classes]], counts: Int[np.ndarray, " classes"]
) -> Statistics:
    """Statistics of all batches, of which each is seen once; ``counts`` is the bincount of all labels.

    Raises UserError where a feature is not finite, or the labels are not those of ``counts``.
    """
    moments = None
    for x, classes in batches:
        moments = moments or Moments(counts, x.shape[1])
        moments.add(x, classes)
    if moments is None:
        raise UserError("statistics: expected at least one batch of features, got none; is the set empty?")
    return moments.statistics()


class Moments:
    """Sums about a shift of each class's own, so that no digits are lost however far the classes lie apart.

    The shift is the class's first image. ``scatters`` sum the outer products of what is left, first with the
    weight 1 / (classes x count of the class), which gives the mean of the per-class covariances, then with
    equal weights, which gives the covariance of all; one serves for both where all classes are equally large.
    """

    def __init__(self, counts: Int[np.ndarray, " classes"], width: int) -> None:
        self.counts, self.seen = counts, np.zeros_like(counts)
        self.shifts, self.sums = np.zeros((2, len(counts), width))
        used = counts[counts > 0]
        by_class, equal = 1 / (len(used) * counts.clip(min=1)), np.full(len(counts), 1 / counts.sum())
        self.weights = np.stack([by_class, equal])
        self.scatters = np.zeros((min(2, len(np.unique(used))), width, width))

    def add(self, x: FloatFeatures, classes: Classes) -> None:
        """Take in a batch."""
        check(x, classes, len(self.counts))
        new, first = np.unique(classes, return_index=True)
        unseen = self.seen[new] == 0
        self.shifts[new[unseen]] = x[first[unseen]]
        self.seen += np.bincount(classes, minlength=len(self.counts))
        left = x - self.shifts[classes]  # float64
        ones, rows = np.ones(len(x)), np.arange(len(x))
        self.sums += csr_array((ones, (classes, rows)), shape=(len(self.counts), len(x))) @ left
        for scatter, weights in zip(self.scatters, self.weights, strict=False):
            weighted = left * np.sqrt(weights)[classes, None]
            scatter += weighted.T @ weighted

    def statistics(self) -> Statistics:
        """What the sums amount to. Raises UserError unless all announced images have come."""
        if (self.seen != self.counts).any():
            label = int(np.flatnonzero(self.seen != self.counts)[0])
            raise UserError(
                f"statistics: expected {self.counts[label]} images of class {label}, as the labels say, "
                f"got {self.seen[label]}; give every batch once, and the bincount of the same labels"
            )
        offsets = self.sums / self.counts.clip(min=1)[:, None]  # from the shift to the class mean
        within = [
            scatter - (offsets.T * (weights * self.counts)) @ offsets
            for scatter, weights in zip(self.scatters, self.weights, strict=False)
        ]
        means = self.shifts + offsets
        shares = self.counts / self.counts.sum()
        mean = shares @ means
        between = ((means - mean).T * shares) @ (means - mean)
        return Statistics(self.counts, means, within[0], mean, within[-1] + between)


def check(x: FloatFeatures, classes: Classes, num_classes: int) -> None:
    """Raise UserError for features that are not finite, or classes that there are not."""
    if len(x) != len(classes):
        raise UserError(
            f"statistics: expected a label for each of {len(x)} images, got {len(classes)} labels"
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < num_classes:
        raise UserError(
            f"statistics: expected classes from 0 to {num_classes - 1}, got {classes.min()} to "
            f"{classes.max()}; are these the labels that the classifier was trained on?"
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise UserError(
            f"statistics: expected finite features, got NaN or infinity in image {row} of a batch; "
            "make the features again, or look for NaN in the weights"
        )
