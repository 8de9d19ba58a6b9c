"""Average precision of several concepts at once, with intervals over test images; no torch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from m3ae.errors import UserError
from m3ae.evaluate.bootstrap import Interval, percentiles, resampled_counts

Labels = Bool[np.ndarray, "images concepts"]
Scores = Float[np.ndarray, "images concepts"]


class Ranked(NamedTuple):
    """One concept's images by falling score, as far as the last that is right; ties are one threshold."""

    order: Int[np.ndarray, " ranked"]
    thresholds: Int[np.ndarray, " thresholds"]
    """The last rank of each score that an image with the concept has: precision is asked for there alone."""
    positives: Int[np.ndarray, " positives"]
    """The images with the concept, by rank."""
    first: Int[np.ndarray, " thresholds"]
    """The first of them at each threshold."""


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
    """The signed sum over the images drawn with replacement, ``draws`` times.

    Draws in which no image has one of the concepts are left out: it has no average precision there.
    """
    models_ranked = [
        [ranked(hits, found) for hits, found in zip(labels.T, scores.T, strict=True)] for scores in models
    ]
    sums = []
    for counts in resampled_counts(len(labels), draws, seed):
        means = (np.mean([weighted_precision(counts, one) for one in each], axis=0) for each in models_ranked)
        sums.append(sum(sign * mean for sign, mean in zip(signs, means, strict=True)))
    return having_all(np.concatenate(sums))


def having_all(sums: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " left"]:
    """The draws in which every concept occurs. Raises UserError where there are none."""
    left = sums[~np.isnan(sums)]
    if not len(left):
        raise UserError(
            f"average precision: expected draws of images with every concept, got none of {len(sums)}; leave "
            "out the rarest concepts, or raise statistics.draws"
        )
    return left


def ranked(hits: Bool[np.ndarray, " images"], scores: Float[np.ndarray, " images"]) -> Ranked:
    """The images by falling score; of equal scores, which are one threshold, the last says how many."""
    order = np.argsort(-scores, kind="stable")
    falling, right = scores[order], hits[order]
    is_last = np.append(falling[1:] != falling[:-1], True)
    positives = np.flatnonzero(right)
    ends = np.flatnonzero(is_last)
    after = ends[np.searchsorted(ends, positives)]  # of every positive: where its threshold ends
    thresholds, first = np.unique(after, return_index=True)
    return Ranked(order[: thresholds.max(initial=-1) + 1], thresholds, order[positives], first)


def weighted_precision(
    counts: Int[np.ndarray, "draws images"], ranked: Ranked
) -> Float[np.ndarray, " draws"]:
    """Average precision of images that come ``counts`` times each; NaN where none that is right comes.

    As scikit-learn's: the precision after each threshold, weighted with the recall that it adds.
    """
    if not len(ranked.thresholds):
        return np.full(len(counts), np.nan)
    before = np.append(0, ranked.thresholds[:-1] + 1)
    asked = np.add.reduceat(counts.take(ranked.order, axis=1), before, axis=1).cumsum(axis=1)
    added = counts.take(ranked.positives, axis=1)
    if len(ranked.first) < len(ranked.positives):
        added = np.add.reduceat(added, ranked.first, axis=1)
    hits = added.cumsum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0: a draw without the concept
        return (hits / np.maximum(asked, 1) * added).sum(axis=1) / hits[:, -1]


def by_image(values: Shaped[np.ndarray, " _"], images: int) -> Shaped[np.ndarray, "images concepts"]:
    """A record's items, which are flat, as a row for each image."""
    return values.reshape(images, -1)
