"""Percentile bootstrap over test items: means, AUROCs, and paired differences of both.

Every interval is a pure function of its items, the number of draws and the seed (Efron 1979). It speaks of
the test items alone, not of the seeds of training. NumPy only, so that reports need no torch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from m3ae.errors import UserError
from m3ae.evaluate.auroc import rank, weighted_auroc

CHUNK = 50_000  # draws x items that are held at once: the steps' intermediate results share the cache
Items = Shaped[np.ndarray, " _"]  # any numbers or truths, one per test item
Scores = tuple[Items, Items]
"""Scores of the "in" items and of the "out" items; higher is more in-distribution."""


class Interval(NamedTuple):
    """A statistic of the items themselves, and the ends of its percentile interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        """The same in another unit: ``times(100)`` gives percent."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def interval_of_mean(values: Items, draws: int, confidence: float, seed: int) -> Interval:
    """The mean of ``values`` with its bootstrap interval. Raises UserError for no items or NaN."""
    values = checked(values)
    means = [counts @ values / len(values) for counts in resampled_counts(len(values), draws, seed)]
    return percentiles(values.mean(), np.concatenate(means), confidence)


def interval_of_auroc(
    scores_in: Items, scores_out: Items, draws: int, confidence: float, seed: int
) -> Interval:
    """The AUROC ("in" is positive) with its interval; "in" and "out" items are drawn independently."""
    return interval_of_aurocs([(scores_in, scores_out)], [1.0], draws, confidence, seed)


def interval_of_difference(
    values_a: Items, values_b: Items, draws: int, confidence: float, seed: int
) -> Interval:
    """The mean of ``a - b`` over the same items, such as two models' hits on one test set (paired)."""
    values_a, values_b = checked(values_a), checked(values_b)
    check_pairs(values_a, values_b)
    return interval_of_mean(values_a - values_b, draws, confidence, seed)


def interval_of_auroc_difference(a: Scores, b: Scores, draws: int, confidence: float, seed: int) -> Interval:
    """AUROC of ``a`` minus AUROC of ``b``, two models on the same "in" and "out" items (paired)."""
    check_pairs(a[0], b[0])
    check_pairs(a[1], b[1])
    return interval_of_aurocs([a, b], [1.0, -1.0], draws, confidence, seed)


def interval_of_aurocs(
    models: list[Scores], signs: list[float], draws: int, confidence: float, seed: int
) -> Interval:
    """The signed sum of the models' AUROCs; every draw takes the same items for all models."""
    rankings = [rank(checked(scores_in), checked(scores_out)) for scores_in, scores_out in models]
    num_in, num_out = len(models[0][0]), len(models[0][1])

    def statistic(counts_in: np.ndarray, counts_out: np.ndarray) -> np.ndarray:
        aurocs = [weighted_auroc(ranking, counts_in, counts_out) for ranking in rankings]
        return np.einsum("md,m->d", np.stack(aurocs), np.array(signs))

    value = statistic(np.ones((1, num_in), np.int64), np.ones((1, num_out), np.int64))
    num = max(num_in, num_out)
    resamples = zip(
        resampled_counts(num_in, draws, seed, stream=0, chunk_items=num),
        resampled_counts(num_out, draws, seed, stream=1, chunk_items=num),
        strict=True,
    )
    return percentiles(value[0], np.concatenate([statistic(*counts) for counts in resamples]), confidence)


def resampled_counts(
    num: int, draws: int, seed: int, *, stream: int = 0, chunk_items: int | None = None
) -> Iterator[Int[np.ndarray, "chunk num"]]:
    """How often each of ``num`` items comes in each draw of ``num`` with replacement, in chunks of draws.

    The chunk's size, set by ``chunk_items`` (default: ``num``), bounds memory and changes no number.
    """
    rng = np.random.default_rng([seed, stream])
    step = max(1, CHUNK // (chunk_items or num))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        picked = rng.integers(0, num, size=(size, num))
        picked += np.arange(size)[:, None] * num  # a row of bins for every draw
        yield np.bincount(picked.ravel(), minlength=size * num).reshape(size, num)


def percentiles(value: float, draws: Float[np.ndarray, " draws"], confidence: float) -> Interval:
    """The interval that leaves out ``(1 - confidence) / 2`` of the draws on either side.

    It always holds the value, which draws of few items miss: sums are rounded, and a statistic may be biased.
    """
    tail = (1 - confidence) / 2
    value, (low, high) = float(value), np.quantile(draws, [tail, 1 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))


def checked(values: Items) -> Float[np.ndarray, " items"]:
    """The values in float64. Raises UserError if there are none, or some are not finite."""
    values = np.asarray(values, np.float64)
    if not len(values):
        raise UserError("bootstrap: expected at least one test item, got none; is the test set empty?")
    if not np.isfinite(values).all():
        item = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UserError(
            f"bootstrap: expected finite values, got {values[item]} for item {item}; "
            "make the features again, or look for NaN in the weights"
        )
    return values


def check_pairs(a: Items, b: Items) -> None:
    """Raise UserError unless two models were measured on equally many items."""
    if len(a) != len(b):
        raise UserError(
            f"paired difference: expected the same test items, got {len(a)} and {len(b)}; "
            "make both records again from the same evaluation set"
        )
