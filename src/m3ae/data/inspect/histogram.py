"""Histograms of whole numbers, with bins that a person would choose."""

from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from jaxtyping import Int64

BAR = 40
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Bin:
    """``num`` values from ``first`` to ``last``, both included; ``last`` is None in an open bin."""

    first: int
    last: int | None
    num: int

    @property
    def label(self) -> str:
        """As a person writes it: `20-29`, `7`, `200+`."""
        if self.last is None:
            return f"{self.first}+"
        return str(self.first) if self.last == self.first else f"{self.first}-{self.last}"


def histogram(values: Int64[np.ndarray, " num"], max_bins: int = 20) -> list[Bin]:
    """Bins 1, 2, 5, 10, 20, ... wide, that start at a multiple of it; the longest 1 % share the last.

    Every value is in exactly one bin. No values, no bins.
    """
    if not len(values):
        return []
    low, usual, high = int(values.min()), int(np.quantile(values, 0.99)), int(values.max())
    width = bin_width(low, usual, max_bins - 1)
    starts = np.arange(low // width * width, usual + 1, width)
    tail = int(starts[-1]) + width
    if high >= tail:
        starts = np.append(starts, tail)
    counts = np.bincount(np.searchsorted(starts, values, side="right") - 1, minlength=len(starts))
    bins = [
        Bin(int(start), int(start) + width - 1, int(num)) for start, num in zip(starts, counts, strict=True)
    ]
    if high >= tail + width:
        bins[-1] = replace(bins[-1], last=None)
    return bins


def bin_width(low: int, high: int, max_bins: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that covers ``low`` to ``high`` in ``max_bins`` bins."""
    widths = (digit * 10**power for power in count() for digit in (1, 2, 5))
    return next(width for width in widths if high // width - low // width < max_bins)


def bars(bins: list[Bin]) -> list[list[str]]:
    """Rows of a table: label, count, share, bar."""
    total, longest = sum(entry.num for entry in bins), max((entry.num for entry in bins), default=0)
    return [
        [
            entry.label,
            f"{entry.num:,}",
            f"{100 * entry.num / total:.1f} %",
            "█" * round(BAR * entry.num / longest),
        ]
        for entry in bins
    ]
