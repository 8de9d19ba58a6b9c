"""AUROC, both AUPRs and FPR@95 from one sort, exact with ties, and their bootstrap intervals. No torch.

Scores are higher for what looks more in-distribution. "In" is the positive class of AUROC, of AUPR-in and of
FPR@95 (Hendrycks and Gimpel 2017; Liang, Li, Srikant 2018); AUPR-out takes "out" as positive, signs turned.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from m3ae.evaluate.bootstrap import Interval, Items, checked, percentiles, resampled_counts

TPR = 0.95
"""Share of the "in" items that the threshold of FPR@95 must accept."""


class Detection(NamedTuple):
    """How well scores part "in" from "out"; every field lies in [0, 1]."""

    auroc: float
    aupr_in: float
    """Average precision (a sum of steps, as scikit-learn's; no trapezoids), "in" positive."""
    aupr_out: float
    """The same with "out" positive and the scores' signs turned."""
    fpr95: float
    """Share of "out" items that are accepted where at least 95 % of the "in" items are; lower is better."""


class Order(NamedTuple):
    """All items from the lowest score to the highest."""

    items: Int[np.ndarray, " num"]
    """Numbers of the items, "in" before "out"."""
    is_in: Bool[np.ndarray, " num"]
    last: Int[np.ndarray, " groups"] | None
    """Where a group of equal scores ends; None where all scores differ."""


def detection(scores_in: Items, scores_out: Items) -> Detection:
    """The four metrics of these items. Raises UserError for no items, NaN or infinite scores."""
    return of_order(sort(scores_in, scores_out))


def interval_of_detection(
    scores_in: Items, scores_out: Items, draws: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Each metric with its percentile interval, by the names of ``Detection``'s fields.

    "In" and "out" items are drawn independently; the draws are those of ``bootstrap.interval_of_auroc``.
    """
    order = sort(scores_in, scores_out)
    found = [of_counts(counts, order) for counts in drawn(len(scores_in), len(scores_out), draws, seed)]
    values = of_order(order)._asdict()
    columns = (np.concatenate(column) for column in zip(*found, strict=True))
    pairs = zip(values.items(), columns, strict=True)
    return {name: percentiles(value, column, confidence) for (name, value), column in pairs}


def sort(scores_in: Items, scores_out: Items) -> Order:
    """Sort once; every resample of the items reuses it."""
    scores = np.concatenate([checked(scores_in), checked(scores_out)])
    items = np.argsort(scores)
    ordered = scores[items]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return Order(items, items < len(scores_in), None if len(last) == len(items) else last)


def of_order(order: Order) -> Detection:
    """The four metrics when every item comes once."""
    once = np.ones((1, len(order.items)), np.int64)
    return Detection(*(float(values[0]) for values in of_counts(once, order)))


def drawn(num_in: int, num_out: int, draws: int, seed: int) -> Iterator[Int[np.ndarray, "chunk num"]]:
    """How often every item comes in each draw, "in" before "out", in chunks of draws."""
    resamples = (
        resampled_counts(size, draws, seed, stream=stream, chunk_items=num_in + num_out)
        for stream, size in enumerate((num_in, num_out))
    )
    for counts in zip(*resamples, strict=True):
        yield np.concatenate(counts, axis=1)


def of_counts(counts: Int[np.ndarray, "draws num"], order: Order) -> tuple[Float[np.ndarray, " draws"], ...]:
    """The four metrics when every item comes ``counts`` times, as the fields of ``Detection``."""
    ordered = np.take(counts, order.items, axis=1)  # counts[:, items] would lie in memory by columns
    all_up_to = ordered.cumsum(axis=1)  # items whose score is not above this one's
    in_up_to = np.multiply(ordered, order.is_in, out=ordered).cumsum(axis=1)
    if order.last is not None:
        all_up_to, in_up_to = (np.take(up_to, order.last, axis=1) for up_to in (all_up_to, in_up_to))
    out_up_to = all_up_to - in_up_to
    num_in, num_out = in_up_to[:, -1], out_up_to[:, -1]
    ins, outs = steps(in_up_to), steps(out_up_to)
    wins_twice = np.einsum("dg,dg->d", ins, 2 * out_up_to - outs)
    from_in = num_in[:, None] - in_up_to + ins  # "in" items whose score is not below this one's
    from_all = from_in + num_out[:, None] - out_up_to + outs
    return (
        wins_twice / (2 * num_in * num_out),
        mean_precision(ins, from_in, from_all) / num_in,
        mean_precision(outs, out_up_to, all_up_to) / num_out,
        accepted_out(from_in, from_all) / num_out,
    )


def steps(up_to: Int[np.ndarray, "draws groups"]) -> Int[np.ndarray, "draws groups"]:
    """Items in each group, from their running sum."""
    return np.diff(up_to, axis=1, prepend=0)


def mean_precision(
    positive: Int[np.ndarray, "draws groups"],
    right: Int[np.ndarray, "draws groups"],
    accepted: Int[np.ndarray, "draws groups"],
) -> Float[np.ndarray, " draws"]:
    """Sum over the positive items of the precision at their threshold; a group without items adds nothing."""
    return np.einsum("dg,dg->d", positive, right / np.maximum(accepted, 1))


def accepted_out(
    from_in: Int[np.ndarray, "draws groups"], from_all: Int[np.ndarray, "draws groups"]
) -> Int[np.ndarray, " draws"]:
    """Number of "out" items at the highest threshold that accepts 95 % of the "in" items."""
    reached = from_in / from_in[:, :1] >= TPR  # true up to that threshold, then false
    threshold = reached.sum(axis=1, keepdims=True) - 1
    return np.take_along_axis(from_all - from_in, threshold, axis=1)[:, 0]
