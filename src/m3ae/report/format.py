"""Numbers as people read them: the digits that mean something, "-" where there is nothing."""

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

NOTHING = "-"


def percent(value: Any) -> str:
    """One decimal for ours; the paper's AUROCs keep their three."""
    if absent(value):
        return NOTHING
    return f"{value:.1f}" if abs(value * 10 - round(value * 10)) < 1e-9 else f"{value:.3f}"


def half_up(value: float, digits: int) -> str:
    """Shares of 2,000 images end in 5 as often as not: up, wherever the nearest binary number lies."""
    exact = Decimal(repr(round(float(value), digits + 6)))
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}".replace("-", "\N{MINUS SIGN}")


def rounded(value: Any, digits: int = 1) -> str:
    """A number with a fixed count of decimals."""
    return NOTHING if absent(value) else half_up(value, digits)


def signed(value: Any, digits: int = 1) -> str:
    """A difference, with its sign."""
    if absent(value):
        return NOTHING
    text = half_up(value, digits)
    return text if text.startswith("\N{MINUS SIGN}") else f"+{text}"


def interval(low: Any, high: Any, digits: int = 1) -> str:
    """``[low, high]``."""
    if absent(low) or absent(high):
        return NOTHING
    return f"[{half_up(low, digits)}, {half_up(high, digits)}]"


def absent(value: Any) -> bool:
    """Whether a cell is empty."""
    return value is None or (isinstance(value, float) and math.isnan(value))
