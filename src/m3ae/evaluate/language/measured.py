"""What a part of the measurement adds to the record: metrics with intervals, and facts."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from m3ae.config import Run
from m3ae.evaluate.bootstrap import interval_of_difference, interval_of_mean
from m3ae.evaluate.metrics import percent
from m3ae.records import Items, Metric

Shares = Shaped[np.ndarray, " items"]


class Measured(NamedTuple):
    """Numbers of one part by name, and what is no result."""

    metrics: dict[str, Metric]
    details: dict[str, Any]


def share(run: Run, shares: Shares) -> Metric:
    """The mean (%) of shares between 0 and 1, or of truths, over test items, which are kept."""
    kept = shares.astype(np.uint8 if shares.dtype == bool else np.float32)
    return percent(interval_of_mean(kept, *drawn(run)), len(kept), correct=kept)


def difference(run: Run, shares: Shares, minus: Shares) -> Metric:
    """The mean of a paired difference (percentage points) over the same items."""
    kept, less = shares.astype(np.float32), minus.astype(np.float32)
    interval = interval_of_difference(kept, less, *drawn(run)).times(100)
    items = {"differences": Items.pack(kept - less)}
    return Metric(**interval._asdict(), n=len(shares), unit="percentage points", items=items)


def drawn(run: Run) -> tuple[int, float, int]:
    """Draws, confidence and seed of every interval."""
    statistics = run.settings.statistics
    return statistics.draws, statistics.confidence, run.settings.seed
