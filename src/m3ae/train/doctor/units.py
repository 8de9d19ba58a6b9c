"""Sizes and times as a person reads them."""

GIB, MIB = 2**30, 2**20
YEAR_MIN = 365 * 24 * 60


def size(bytes: float) -> str:
    """Bytes in a unit that leaves something before the point."""
    return f"{bytes / GIB:.1f} GiB" if bytes >= GIB else f"{bytes / MIB:.1f} MiB"


def duration(seconds: float) -> str:
    """A time in the one or two units that matter."""
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    if minutes < 2 * YEAR_MIN:
        return f"{minutes // 1440} d {minutes % 1440 // 60} h"
    return f"{minutes / YEAR_MIN:.0f} years"
