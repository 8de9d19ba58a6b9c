"""Average precision of several concepts at once, with intervals over test images; no torch."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from m3ae.evaluate.bootstrap import Interval, percentiles, resampled_counts

Labels = Bool[np.ndarray, "images concepts"]
Scores = Float[np.ndarray, "images concepts"]


def precisions(labels: Labels, scores: Scores) -> list[float]:
    """Average precision of each concept."""
    from sklearn.metrics import average_precision_score  # a second, for those who read records alone

    pairs = zip(labels.T, scores.T, strict=True)
    return [float(average_precision_score(truth, score)) for truth, score in pairs]


def interval_of_precision(
    labels: Labels, models: list[Scores], signs: list[float], draws: int, confidence: float, seed: int
) -> Interval:
    """The signed sum of the models' mean average precisions; every draw takes the same images for all."""
    pairs = list(zip(signs, models, strict=True))
    value = sum(sign * float(np.mean(precisions(labels, scores))) for sign, scores in pairs)
    drawn = sum(sign * bootstrap(labels, scores, draws, seed) for sign, scores in pairs)
    return percentiles(value, np.asarray(drawn), confidence)


def bootstrap(labels: Labels, scores: Scores, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    """The mean average precision of images drawn with replacement, ``draws`` times."""
    orders = np.argsort(-scores, axis=0, kind="stable")
    right = np.take_along_axis(labels, orders, axis=0)
    found = []
    for counts in resampled_counts(len(labels), draws, seed):
        each = [weighted_precision(counts[:, orders[:, c]], right[:, c]) for c in range(labels.shape[1])]
        found.append(np.mean(each, axis=0))
    return np.concatenate(found)


def weighted_precision(
    counts: Int[np.ndarray, "draws images"], right: Bool[np.ndarray, " images"]
) -> Float[np.ndarray, " draws"]:
    """Average precision of ranked images that come ``counts`` times each; ties count one after the other."""
    hits = counts * right
    precision = hits.cumsum(axis=1) / np.maximum(counts.cumsum(axis=1), 1)
    return (precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)


def by_image(values: Shaped[np.ndarray, " _"], images: int) -> Shaped[np.ndarray, "images concepts"]:
    """A record's items, which are flat, as a row for each image."""
    return values.reshape(images, -1)
