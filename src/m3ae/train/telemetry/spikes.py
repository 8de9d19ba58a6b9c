"""Losses that jump."""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

WINDOW = 20
"""Lines of the step log that a loss is held against."""
FEWEST = 10
"""Earlier lines without which nothing is said."""
DEVIATIONS = 8.0
"""How many robust standard deviations above the median a loss must be ..."""
SHARE = 0.05
"""... and by which share of the median: at the end of a training a loss hardly moves at all."""
MAD_TO_STD = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""


class SpikeWatch:
    """Says so when the mean loss of an interval is far above those before: once for each spike.

    Median and median absolute deviation of the last lines are hardly moved by a spike itself. Normal noise
    alone raises an alarm in one line of 30,000, and less where it is small beside the loss. Nothing but the
    last lines of the log matters: after a resume the same is said as without one.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """``lines`` are those that the step log already holds."""
        self.lines = deque(lines, maxlen=WINDOW + 1)

    def look(self, line: Mapping[str, Any]) -> str | None:
        """Take in the next line of the log; a warning if a spike begins there."""
        said = []
        for name in (name for name in line if name.endswith("_loss")):
            *before, last = [earlier[name] for earlier in self.lines if name in earlier] or [math.nan]
            recent = [*before, last][-WINDOW:]
            if is_spike(line[name], recent) and not is_spike(last, before):
                usual = statistics.median(finite(recent))
                said.append(f"{name} {line[name]:.4g}, {line[name] / usual:.3g} times its recent {usual:.4g}")
        self.lines.append(line)
        return f"loss spike at step {line['step']}: {'; '.join(said)}" if said else None


def is_spike(value: float, before: list[float]) -> bool:
    """Whether ``value`` is far above the last values before it."""
    usual = finite(before)
    if len(usual) < FEWEST:
        return False
    middle = statistics.median(usual)
    deviation = MAD_TO_STD * statistics.median(abs(each - middle) for each in usual)
    return value > middle + max(DEVIATIONS * deviation, SHARE * middle)


def finite(values: list[float]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if math.isfinite(value)]
