"""What a run cost, in sentences: its sums, and what nobody measured."""

import pandas as pd

from m3ae.config import Run
from m3ae.report.compute.stages import PRETRAIN
from m3ae.report.format import NOTHING
from m3ae.report.paper import label

MINUTE, HOUR = 60, 3600
PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z"]


def duration(seconds: float) -> str:
    """A time as people read it: `12.5 s`, `4.0 min`, `1.3 h`."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / MINUTE:.1f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def scaled(value: float, unit: str) -> str:
    """Three digits that count and a decimal prefix: `12.3 GFLOP/s`."""
    if value == 0:
        return f"0 {unit}"
    power = 0
    while abs(value) >= 999.5 and power < len(PREFIXES) - 1:
        value, power = value / 1000, power + 1
    digits = 3 - len(str(int(abs(value))))
    return f"{value:.{digits}f} {PREFIXES[power]}{unit}"


def totals(table: pd.DataFrame) -> str:
    """The sums of a run."""
    if table.empty:
        return NOTHING
    trained = table[(table["stage"] == PRETRAIN) & (table["samples"].fillna(0) > 0)]
    parts = [
        f"{table['model'].nunique()} models, {len(table)} stages: {duration(table['wall_s'].sum())} of wall "
        "time, if one stage had followed the other; stages that ran side by side count in full",
        f"pre-training took {duration(trained['wall_s'].sum())} of it ({len(trained)} models, "
        f"{trained['samples'].sum():,.0f} samples, {scaled(trained['flops'].sum(), 'FLOP')})",
        energy(trained),
    ]
    return "; ".join(parts) + "."


def energy(trained: pd.DataFrame) -> str:
    """The energy where it was read: no sum where devices may have been shared."""
    read = trained["energy_j"].dropna()
    if read.empty:
        return f"energy: {NOTHING}"
    return (
        f"energy was read in {len(read)} of {len(trained)} trainings, at most "
        f"{scaled(read.sum(), 'J')} together: a counter is a whole device's, whatever else ran on it"
    )


def unmeasured(run: Run, table: pd.DataFrame) -> list[str]:
    """What the table does not know, and why."""
    trained = table[table["stage"] == PRETRAIN]
    resumed = trained[trained["covered"].astype(float) < 1]
    silent = int((trained["energy_j"].isna() & (trained["samples"] > 0)).sum())
    lines = [
        "Operations are counted for pre-training (forward and backward, every caption at its full length: an "
        "upper bound for models that read words) and for features; of all other stages nobody counts them.",
        "Rates divide by the whole wall time, start-up, waiting and saving included, on machines that did "
        "other work beside. MFU is what a training logged about its steps, in the median: on a GPU a share "
        "of the maker's dense peak, on a processor of the rate of matrix products measured there.",
        f"CO2: {NOTHING}. It depends on the electricity of the place and hour, which no record knows: "
        "multiply the energy by your grid's figure.",
    ]
    if silent:
        lines.append(f"Energy of {silent} trainings: no counter could be read on their machines.")
    if len(resumed):
        names = ", ".join(
            f"{label(run, row['model'])} (`{row['model']}`: {100 * row['covered']:.0f} % of its steps)"
            for row in resumed.to_dict("records")
        )
        lines.append(
            "Killed or moved, and gone on; the time before is in no record, and an energy may be of the "
            f"other part: {names}. Their wall time is a lower bound."
        )
    return lines
