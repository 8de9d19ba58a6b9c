"""Scores that say how much a feature looks like the training set: higher is more in-distribution.

The protocol of Fort, Ren, Lakshminarayanan 2021 (arXiv 2106.03004), which Figure 6 follows. Pure NumPy.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from m3ae.errors import UserError

FloatFeatures = Float[np.ndarray, "count width"]


class Gaussians(NamedTuple):
    """One normal distribution per class, with a shared covariance."""

    means: Float[np.ndarray, "classes width"]
    whitening: Float[np.ndarray, "width rank"]
    """Times its transpose, it is the (pseudo-)inverse of the shared covariance."""

    @property
    def rank(self) -> int:
        """Directions in which the features vary; the others carry no distance."""
        return self.whitening.shape[1]


def fit_gaussians(features: FloatFeatures, classes: Int[np.ndarray, " count"]) -> Gaussians:
    """Class means, and the mean of the per-class covariances, from training features (float64).

    Every class weighs the same, whatever its size; a class's covariance is divided by its count.
    A class without images has no distribution. Raises UserError for features that are not finite.
    """
    x = features.astype(np.float64)
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise UserError(
            f"Mahalanobis: expected finite features, got NaN or infinity for training image {row}; "
            "make the features again, or look for NaN in the weights"
        )
    members = [x[classes == label] for label in np.unique(classes)]
    covariances = (np.cov(group, rowvar=False, bias=True).reshape(x.shape[1], -1) for group in members)
    shared = sum(covariances, start=np.zeros((x.shape[1], x.shape[1]))) / len(members)
    means = np.stack([group.mean(axis=0) for group in members])
    return Gaussians(means, whiten(shared, rounding_variance(features)))


def whiten(covariance: Float[np.ndarray, "width width"], tolerance: float) -> Float[np.ndarray, "width rank"]:
    """A root of the pseudo-inverse: directions with a variance up to ``tolerance`` are left out."""
    variances, directions = np.linalg.eigh(covariance)
    kept = variances > tolerance
    return directions[:, kept] / np.sqrt(variances[kept])


def rounding_variance(features: FloatFeatures) -> float:
    """Variance that float32 rounding alone can give to a direction.

    The last LayerNorm ties the features to a plane. Across it there is only rounding, and a plain inverse of
    the covariance would count that as distance.
    """
    mean_square_norm = np.square(features, dtype=np.float64).sum(axis=1).mean()
    return float(np.finfo(np.float32).eps ** 2 * mean_square_norm)


def mahalanobis_score(features: FloatFeatures, gaussians: Gaussians) -> Float[np.ndarray, " count"]:
    """Minus the smallest squared Mahalanobis distance to a class mean."""
    centre = gaussians.means.mean(axis=0)  # near the features, so that squares lose no digits
    x = (features.astype(np.float64) - centre) @ gaussians.whitening
    means = (gaussians.means - centre) @ gaussians.whitening
    squared = np.square(x).sum(axis=1)[:, None] - 2 * x @ means.T + np.square(means).sum(axis=1)
    return -squared.min(axis=1).clip(min=0)


class Classifier(NamedTuple):
    """A trained linear probe: fixed normalisation, then one linear layer."""

    mean: Float[np.ndarray, " width"]
    variance: Float[np.ndarray, " width"]
    weight: Float[np.ndarray, "classes width"]
    bias: Float[np.ndarray, " classes"]

    def logits(self, features: FloatFeatures, eps: float = 1e-5) -> Float[np.ndarray, "count classes"]:
        """Logits, as the probe gives them in evaluation (float64)."""
        x = (features.astype(np.float64) - self.mean) / np.sqrt(self.variance.astype(np.float64) + eps)
        return x @ self.weight.T + self.bias


def max_softmax_score(logits: Float[np.ndarray, "count classes"]) -> Float[np.ndarray, " count"]:
    """The largest class probability (Hendrycks and Gimpel 2017)."""
    return 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
