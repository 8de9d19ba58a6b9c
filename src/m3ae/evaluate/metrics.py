"""From per-item values to the metrics of a record, with intervals as the run's settings ask."""

import numpy as np
from jaxtyping import Bool, Float

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval, interval_of_auroc, interval_of_mean
from m3ae.records import Items, Metric


def accuracy(run: Run, correct: Bool[np.ndarray, " items"]) -> Metric:
    """Share of correct answers (%), with the answers behind it."""
    statistics = run.settings.statistics
    share = interval_of_mean(correct, statistics.draws, statistics.confidence, run.settings.seed)
    return percent(share, len(correct), correct=correct.astype(np.uint8))


def mean_share(run: Run, shares: Float[np.ndarray, " items"], *, keep: bool = False) -> Metric:
    """The mean over items (%), each between 0 and 1; with ``keep`` they stay, for differences of models."""
    statistics = run.settings.statistics
    interval = interval_of_mean(shares, statistics.draws, statistics.confidence, run.settings.seed)
    return percent(interval, len(shares), **({"correct": shares.astype(np.float32)} if keep else {}))


def separation(run: Run, scores_in: Float[np.ndarray, " i"], scores_out: Float[np.ndarray, " o"]) -> Metric:
    """AUROC (%) of scores that are higher in distribution, with the scores behind it.

    Computed from the float32 scores that the record keeps, so that anyone can compute it again.
    """
    statistics = run.settings.statistics
    kept = {"in": scores_in.astype(np.float32), "out": scores_out.astype(np.float32)}
    area = interval_of_auroc(
        kept["in"], kept["out"], statistics.draws, statistics.confidence, run.settings.seed
    )
    return percent(area, len(scores_in) + len(scores_out), **kept)


def percent(share: Interval, num: int, **items: np.ndarray) -> Metric:
    """A share between 0 and 1 as a metric in percent."""
    packed = {name: Items.pack(values) for name, values in items.items()}
    return Metric(**share.times(100.0)._asdict(), n=num, unit="%", items=packed)
