"""Numbers as people read them: the digits that mean something, "-" where there is nothing."""

import math
from typing import Any

NOTHING = "-"


def percent(value: Any) -> str:
    """One decimal for ours; the paper's AUROCs keep their three."""
    if absent(value):
        return NOTHING
    return f"{value:.1f}" if abs(value * 10 - round(value * 10)) < 1e-9 else f"{value:.3f}"


def rounded(value: Any, digits: int = 1) -> str:
    """A number with a fixed count of decimals."""
    return NOTHING if absent(value) else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: Any, digits: int = 1) -> str:
    """A difference, with its sign."""
    return NOTHING if absent(value) else f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: Any, high: Any, digits: int = 1) -> str:
    """``[low, high]``."""
    if absent(low) or absent(high):
        return NOTHING
    return f"[{low:.{digits}f}, {high:.{digits}f}]".replace("-", "\N{MINUS SIGN}")


def absent(value: Any) -> bool:
    """Whether a cell is empty."""
    return value is None or (isinstance(value, float) and math.isnan(value))
