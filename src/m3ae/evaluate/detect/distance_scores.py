"""Scores from distances, angles and subspaces of the stored features.

kNN is pytorch-ood's. Its Mahalanobis detectors invert the covariance with 1e-6 added to the diagonal, which
makes the rounding across the plane of the last LayerNorm count as distance: ours leave that direction out.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from m3ae.evaluate.detect.fitted import Fitted, Scores, by_rows
from m3ae.evaluate.detect.library import detectors, tensor, turned
from m3ae.evaluate.scores import FloatFeatures, Gaussians, mahalanobis_score

KNN_K = 50
"""The neighbour whose distance counts (Sun et al. 2022, on CIFAR-10); the last, where there are fewer."""


@by_rows
def mahalanobis(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the smallest squared Mahalanobis distance to a class mean, as in Figure 6."""
    return mahalanobis_score(x, fitted.once(class_gaussians))


@by_rows
def relative_mahalanobis(fitted: Fitted, x: FloatFeatures) -> Scores:
    """The same, plus the squared Mahalanobis distance to one normal distribution of all images."""
    background = mahalanobis_score(x, fitted.once(background_gaussian))
    return mahalanobis_score(x, fitted.once(class_gaussians)) - background


def class_gaussians(fitted: Fitted) -> Gaussians:
    """One normal distribution per class."""
    return fitted.statistics.gaussians()


def background_gaussian(fitted: Fitted) -> Gaussians:
    """One normal distribution of all images."""
    return fitted.statistics.background()


@by_rows
def knn(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the distance to the k-th nearest training image, all features scaled to length 1."""
    return turned(fitted.once(knn_detector).predict_features(tensor(x)))


def knn_detector(fitted: Fitted) -> Any:
    """The bank's features, searched exactly."""
    detector = detectors().KNN(None, k=min(KNN_K, len(fitted.bank)), algorithm="brute")
    return detector.fit_features(tensor(fitted.bank), tensor(fitted.bank_classes))


@by_rows
def cosine(fitted: Fitted, x: FloatFeatures) -> Scores:
    """The largest cosine between the features and a class mean."""
    means = fitted.statistics.means[fitted.statistics.counts > 0]
    cosines: Float[np.ndarray, "count classes"] = unit(x.astype(np.float64)) @ unit(means).T
    return cosines.max(axis=1)


def unit(x: FloatFeatures) -> FloatFeatures:
    """Rows scaled to length 1; zeros stay."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    scaled: FloatFeatures = x / np.where(lengths > 0, lengths, 1)
    return scaled
