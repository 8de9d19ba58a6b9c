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
    means = [float(np.mean(precisions(labels, scores))) for scores in models]
    value = sum(sign * mean for sign, mean in zip(signs, means, strict=True))
    return percentiles(value, bootstrap(labels, models, signs, draws, seed), confidence)


def bootstrap(
    labels: Labels, models: list[Scores], signs: list[float], draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    """The signed sum over the images drawn with replacement, ``draws`` times."""
    orders = [np.argsort(-scores, axis=0, kind="stable") for scores in models]
    right = [np.take_along_axis(labels, order, axis=0) for order in orders]
    found = []
    for counts in resampled_counts(len(labels), draws, seed):
        means = (mean_precision(counts, *ranked) for ranked in zip(orders, right, strict=True))
        found.append(sum(sign * mean for sign, mean in zip(signs, means, strict=True)))
    return np.concatenate(found)


def mean_precision(
    counts: Int[np.ndarray, "draws images"], order: Int[np.ndarray, "images concepts"], right: Labels
) -> Float[np.ndarray, " draws"]:
    """The mean over concepts; ``order`` ranks the images for each, ``right`` says which have it."""
    columns = zip(order.T, right.T, strict=True)
    return np.mean([weighted_precision(counts.take(ranks, axis=1), hits) for ranks, hits in columns], axis=0)


def weighted_precision(
    counts: Int[np.ndarray, "draws images"], right: Bool[np.ndarray, " images"]
) -> Float[np.ndarray, " draws"]:
    """Average precision of ranked images that come ``counts`` times each; ties count one after the other."""
    places = np.flatnonzero(right)  # precision is asked for there alone, and they are few
    if not len(places):
        return np.zeros(len(counts))
    after_the_last = np.append(0, places[:-1] + 1)
    asked = np.add.reduceat(counts[:, : places[-1] + 1], after_the_last, axis=1).cumsum(axis=1)
    positive = counts[:, places]
    hits = positive.cumsum(axis=1)
    return (hits / np.maximum(asked, 1) * positive).sum(axis=1) / np.maximum(hits[:, -1], 1)


def by_image(values: Shaped[np.ndarray, " _"], images: int) -> Shaped[np.ndarray, "images concepts"]:
    """A record's items, which are flat, as a row for each image."""
    return values.reshape(images, -1)
