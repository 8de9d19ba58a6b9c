"""Intervals as reports give them, where the percentiles that a record states say too little."""

from collections.abc import Sequence

from m3ae.records import Metric, Record

PRECISION = frozenset({"labels", "scores", "images"})
"""The items of a mean average precision."""
EARLIER = "silhouette"
"""The items of silhouettes in records from before random halves were drawn."""


def shown(record: Record, confidence: float) -> Record:
    """The record with the intervals that are shown."""
    metrics = {name: better(record, name, metric, confidence) for name, metric in record.metrics.items()}
    return record.model_copy(update={"metrics": metrics})


def better(record: Record, name: str, metric: Metric, confidence: float) -> Metric:
    """A metric with another interval, where the record's is known to be wrong.

    * Average precision is biased upwards, and among images drawn with replacement once more: percentiles
      have that twice. The basic interval takes it off (Davison and Hinkley 1997, section 5.2).
    * None of n right, or all: every draw says the same, though the truth may be another. The far end is that
      of Clopper and Pearson (1934).
    * Mean silhouettes of earlier records: their terms were drawn one by one, though each hangs on all images
      (clusters.py); simulated intervals were 1.8 to 2.2 times too narrow, so they are doubled.
    * Few-shot probes: another time other training images would be drawn, so their spread counts as seeds do.
    """
    value, low, high = metric.value, metric.low, metric.high
    if metric.items.keys() >= PRECISION:
        low, high = 2 * value - high, 2 * value - low
    elif metric.unit == "%" and low == high and value in (0, 100):
        far = 100 * (1 - ((1 - confidence) / 2) ** (1 / metric.n))
        low, high = min(value, 100 - far), max(value, far)
    elif EARLIER in metric.items:
        low, high = twice_as_wide(value, low, high)
    elif draws := of_each_draw(record, name):
        low, high = over_draws(low, high, draws, confidence)
    else:
        return metric
    low, high = within(low, high, metric.unit)
    return metric.model_copy(update={"low": low, "high": high})


def twice_as_wide(value: float, low: float, high: float) -> tuple[float, float]:
    """Both ends twice as far from the value."""
    return 2 * low - value, 2 * high - value


def within(low: float, high: float, unit: str) -> tuple[float, float]:
    """The ends of an interval, none where a share cannot be."""
    return (max(low, 0.0), min(high, 100.0)) if unit == "%" else (low, high)


def of_each_draw(record: Record, name: str) -> list[float]:
    """The accuracy (%) with each draw of training images; none for what is trained on all of them."""
    details = record.details.get(name)
    return details.get("of_each_draw", []) if isinstance(details, dict) else []


def over_draws(low: float, high: float, draws: Sequence[float], confidence: float) -> tuple[float, float]:
    """The ends of an interval over test items, widened by Student's over the values of each draw."""
    from m3ae.report.combined import Interval, combine  # and NumPy, which `m3ae runs` does without

    half = (high - low) / 2
    whole = combine([Interval(one, one - half, one + half) for one in draws], confidence)
    return whole.low, whole.high
