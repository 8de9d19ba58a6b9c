"""One interval for several seeds of pre-training, or several draws of training images."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from m3ae.evaluate.bootstrap import Interval


def combine(found: Sequence[Interval], confidence: float) -> Interval:
    """The mean over seeds, with an interval that speaks of seeds and of test items.

    Half of its width is sqrt(s^2 + i^2): s = t * sd / sqrt(k), Student's interval of k seeds' values, and i
    the mean half width of the bootstraps over test items, which the seeds share. One seed keeps its own.
    """
    return across([[one] for one in found], confidence)


def across(found: Sequence[Sequence[Interval]], confidence: float) -> Interval:
    """The mean difference of two models whose seeds are no pairs: a row for each seed of the first, a column
    for each of the second, in every place the difference over the same test items.

    As ``combine``, but s adds the variances of the two means, with Welch's degrees of freedom. A model of
    one seed adds nothing: what another seed of it would give is not known.
    """
    if len(found) == len(found[0]) == 1:
        return found[0][0]
    values = np.array([[interval.value for interval in row] for row in found])
    of_items = np.mean([(interval.high - interval.low) / 2 for row in found for interval in row])
    half, value = math.hypot(of_seeds(values, confidence), of_items), float(values.mean())
    return Interval(value, value - half, value + half)


def of_seeds(values: Float[np.ndarray, "first second"], confidence: float) -> float:
    """Half the width of Student's interval of the mean of two models' seeds."""
    from scipy.special import stdtrit  # Student's quantile; scipy.stats takes a second to import

    means = [side for side in (values.mean(axis=1), values.mean(axis=0)) if len(side) > 1]
    variances = [side.var(ddof=1) / len(side) for side in means]
    if sum(variances) == 0:
        return 0.0
    shares = [variance**2 / (len(side) - 1) for variance, side in zip(variances, means, strict=True)]
    degrees = sum(variances) ** 2 / sum(shares)
    return float(stdtrit(degrees, 0.5 + confidence / 2) * math.sqrt(sum(variances)))
