"""The area under the ROC curve with a weight on every item, as the bootstrap needs it.

scikit-learn's `roc_auc_score` sorts anew for every draw; here the sorting is done once.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real


class Ranking(NamedTuple):
    """Where every "in" score stands among the sorted "out" scores."""

    order: Int[np.ndarray, " num_out"]
    """The "out" items from the lowest score to the highest."""
    below: Int[np.ndarray, " num_in"]
    """Number of "out" scores that are lower than this "in" score."""
    up_to: Int[np.ndarray, " num_in"]
    """Number of "out" scores that are not higher: ties lie between the two."""


def rank(scores_in: Real[np.ndarray, " num_in"], scores_out: Real[np.ndarray, " num_out"]) -> Ranking:
    """Sort once; every resample of the items reuses it."""
    order = np.argsort(scores_out, kind="stable")
    ordered = scores_out[order]
    return Ranking(
        order, np.searchsorted(ordered, scores_in, "left"), np.searchsorted(ordered, scores_in, "right")
    )


def weighted_auroc(
    ranking: Ranking, counts_in: Int[np.ndarray, "draws num_in"], counts_out: Int[np.ndarray, "draws num_out"]
) -> Float[np.ndarray, " draws"]:
    """P(in > out) + P(in = out) / 2 when every item comes ``counts`` times (Mann and Whitney 1947)."""
    draws, num_out = counts_out.shape
    lower = np.zeros((draws, num_out + 1), np.int64)  # lower[:, k]: weight of the k lowest "out" items
    np.cumsum(counts_out.take(ranking.order, axis=1), axis=1, out=lower[:, 1:])
    lower_twice = lower.take(ranking.below, axis=1) + lower.take(ranking.up_to, axis=1)
    wins_twice = np.einsum("di,di->d", counts_in, lower_twice)
    return wins_twice / (2 * counts_in.sum(axis=1) * lower[:, -1])


def auroc(scores_in: Real[np.ndarray, " num_in"], scores_out: Real[np.ndarray, " num_out"]) -> float:
    """AUROC of the scores themselves, "in" positive, ties exact."""
    once_in, once_out = np.ones((1, len(scores_in)), np.int64), np.ones((1, len(scores_out)), np.int64)
    return float(weighted_auroc(rank(scores_in, scores_out), once_in, once_out)[0])
