"""M3AE against MAE on whatever both were measured on: paired differences, and how many there are."""

import pandas as pd

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval
from m3ae.report.claims import M3AE, MAE, Claim
from m3ae.report.format import interval, signed
from m3ae.report.intervals import of_each_draw, over_draws
from m3ae.report.results import find_record
from m3ae.report.verdicts import difference

TITLE = "M3AE - MAE"


def gain(run: Run, stage: str, metric: str) -> Interval | None:
    """M3AE minus MAE over the same test items (points); None where a side or its items are missing.

    Of few-shot probes also over the same draws of training images.
    """
    found = difference(run, Claim("ours", "", M3AE, MAE, stage, metric))
    sides = [find_record(run, model, stage) for model in (M3AE, MAE)]
    better, worse = (of_each_draw(record, metric) if record else [] for record in sides)
    if found is None or not better or len(better) != len(worse):
        return found
    draws = [one - other for one, other in zip(better, worse, strict=True)]
    ends = over_draws(found.low, found.high, draws, run.settings.statistics.confidence)
    return Interval(found.value, *ends)


def gains(run: Run, table: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """The differences of a target's table, by panel and metric."""
    found = {}
    for row in table[table["model"] == M3AE].to_dict("records"):
        stage = row["record"].rpartition("/")[2].removesuffix(".json")
        one = gain(run, stage, row["metric"])
        if one is not None:
            found[row["panel"], row["metric"]] = one
    return found


def in_words(found: Interval) -> str:
    """`+2.0 [+1.4, +2.6]`."""
    return f"{signed(found.value)} {interval(found.low, found.high)}"


def note(run: Run, found: dict[tuple[str, str], Interval]) -> str:
    """How many differences are resolved, and how many would be by chance alone."""
    resolved = [one for one in found.values() if one.low > 0 or one.high < 0]
    better = sum(one.low > 0 for one in resolved)
    lie = "interval lies" if better == 1 else "intervals lie"
    chance = len(found) * (1 - run.settings.statistics.confidence)
    differences = "difference" if len(found) == 1 else "differences"
    return (
        f"Of {len(found)} paired {differences} {TITLE}, {better} {lie} above 0 and "
        f"{len(resolved) - better} below; without any true difference about {chance:.1f} would, by chance: "
        "intervals are not adjusted for their number."
    )
