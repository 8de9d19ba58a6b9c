"""One interval for several seeds of pre-training."""

import math
from collections.abc import Sequence

import numpy as np

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval
from m3ae.records import Record
from m3ae.report.results import find_record


def combine(found: Sequence[Interval], confidence: float) -> Interval:
    """The mean over seeds, with an interval that speaks of seeds and of test items.

    Half of its width is sqrt(s^2 + i^2): s = t * sd / sqrt(k), Student's interval of k seeds' values, and i
    the mean half width of the bootstraps over test items, which the seeds share. One seed keeps its own.
    """
    if len(found) == 1:
        return found[0]
    from scipy.special import stdtrit  # Student's quantile; scipy.stats takes a second to import

    values = np.array([interval.value for interval in found])
    quantile = stdtrit(len(values) - 1, 0.5 + confidence / 2)
    of_seeds = quantile * values.std(ddof=1) / math.sqrt(len(values))
    of_items = np.mean([(interval.high - interval.low) / 2 for interval in found])
    half, value = math.hypot(of_seeds, of_items), float(values.mean())
    return Interval(value, value - half, value + half)


def records_by_seed(run: Run, row: str, stage: str) -> dict[int, Record]:
    """The records of a row and of its repeats that exist, by the seed of pre-training."""
    models = (row, *run.repeats_of(row))
    found = {run.settings_of(model).seed: find_record(run, model, stage) for model in models}
    return {seed: record for seed, record in found.items() if record is not None}
