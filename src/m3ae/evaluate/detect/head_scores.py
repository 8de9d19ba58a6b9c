"""Scores from normalised features together with the weights of the classifier's linear layer.

NNGuide, NCI and pNML are pytorch-ood's. Its SHE refuses a training set with a class that is never predicted
right, and its fDBD holds classes x classes x width numbers (4 GB for ImageNet): both are ours.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist, squareform

from m3ae.evaluate.detect.fitted import Fitted, Scores, bank_normalised, by_rows, normalised_statistics
from m3ae.evaluate.detect.library import detectors, linear, tensor, turned
from m3ae.evaluate.scores import FloatFeatures

NNGUIDE_K = 10
"""Neighbours whose guidance is averaged (Park, Jung, Teoh 2023)."""


@by_rows
def she(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Inner product with the stored pattern of the predicted class."""
    h = fitted.normalise(x)
    return np.einsum("cw,cw->c", h, fitted.once(patterns)[fitted.head(h).argmax(axis=1)])


def patterns(fitted: Fitted) -> Float[np.ndarray, "classes width"]:
    """Mean of the bank's images of each class that are predicted right (Zhang et al. 2023).

    Of a class that has none, the mean of all its training images; 0 if there are no images of it.
    """
    h = fitted.once(bank_normalised)
    predicted = np.concatenate([fitted.head(h[i : i + 8192]).argmax(axis=1) for i in range(0, len(h), 8192)])
    means = fitted.once(normalised_statistics).means.copy()
    right = predicted == fitted.bank_classes
    for label in np.unique(predicted[right]):
        means[label] = h[right & (predicted == label)].mean(axis=0, dtype=np.float64)
    return means


@by_rows
def nnguide(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Energy times the mean similarity to the nearest training images, each scaled by its own energy."""
    return turned(fitted.once(nnguide_detector).predict_features(tensor(single(fitted, x))))


def nnguide_detector(fitted: Fitted) -> Any:
    """The bank's features with their energies (float32)."""
    k = min(NNGUIDE_K, len(fitted.bank))
    detector = detectors().NNGuide(None, linear(fitted, "float32"), k=k)
    return detector.fit_features(tensor(fitted.once(bank_normalised)), tensor(fitted.bank_classes))


@by_rows
def pnml(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the regret of the predictive normalised maximum likelihood learner of a single layer."""
    return turned(fitted.once(pnml_detector).predict_features(tensor(single(fitted, x))))


def pnml_detector(fitted: Fitted) -> Any:
    """The inverse second moment of the bank's features, scaled to length 1 (float32)."""
    detector = detectors().PNML(None, linear(fitted, "float32"))
    return detector.fit_features(tensor(fitted.once(bank_normalised)), tensor(fitted.bank_classes))


@by_rows
def nci(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Projection of the centred features' direction on the predicted class's weights (alpha 0).

    Features on the mean have no direction (0 / 0): 0, as if it were at right angles.
    """
    detector, h = fitted.once(nci_detector), single(fitted, x)
    on_mean = (h == detector.global_mean.numpy()).all(axis=1)
    return np.where(on_mean, 0.0, turned(detector.predict_features(tensor(h))))


def nci_detector(fitted: Fitted) -> Any:
    """The mean of the bank's features (float32)."""
    return detectors().NCI(None, linear(fitted, "float32")).fit_features(tensor(fitted.once(bank_normalised)))


def single(fitted: Fitted, x: FloatFeatures) -> Float[np.ndarray, "count width"]:
    """Normalised features in the precision in which the library computes."""
    return fitted.normalise(x).astype(np.float32)


@by_rows
def fdbd(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Mean distance to the other classes' decision boundaries, over the distance to the training mean."""
    h = fitted.normalise(x)
    logits = fitted.head(h)
    predicted = logits.argmax(axis=1)
    distances = (logits.max(axis=1, keepdims=True) - logits) / fitted.once(weight_distances)[predicted]
    from_mean = np.linalg.norm(h - fitted.once(normalised_statistics).mean, axis=1)
    return distances.sum(axis=1) / ((logits.shape[1] - 1) * from_mean.clip(min=1e-8))


def weight_distances(fitted: Fitted) -> Float[np.ndarray, "classes classes"]:
    """Distances between the classes' weights, infinite where two are the same (no boundary between them)."""
    distances = squareform(pdist(fitted.classifier.weight.astype(np.float64)))
    return np.where(distances > 0, distances, np.inf)
