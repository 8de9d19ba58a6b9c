"""Verdicts, computed from records: never typed by hand."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval, interval_of_auroc_difference, interval_of_difference
from m3ae.evaluate.precision import by_image, interval_of_precision
from m3ae.records import Items, Metric
from m3ae.report.claims import Claim, claims
from m3ae.report.paper import label, printed_cells
from m3ae.report.remembered import remembered
from m3ae.report.seeds import combine, records_by_seed

if TYPE_CHECKING:
    from pandas import DataFrame

REPRODUCED, HOLDS, DEVIATES = "reproduced", "ordering holds", "deviates"
NOT_RESOLVED, NOT_RUN, NOT_COMPARED = "not resolved", "not run", "not compared"
WEAKEST_FIRST = [DEVIATES, NOT_RESOLVED, HOLDS]
ITEMS = (("correct",), ("labels", "scores", "images"), ("in", "out"))
"""Names of a metric's per-item values: of an accuracy, of a mean average precision, of an AUROC."""
Packed = tuple[Items, ...]


def cell_verdict(run: Run, figure: str, cell: Mapping[Any, Any], ours: float | None) -> str:
    """The verdict on one printed cell, of which this run's value is ``ours`` (%; None: not run).

    A comparable run is held to the number (within `check.tolerance_points`), every other run to the
    orderings of the cell's panel that the cell takes part in. The weakest verdict counts; an ordering
    whose other side was not run judges nothing: where none is left, the number is not compared.
    """
    if ours is None:
        return NOT_RUN
    check = run.settings.check
    if check.comparable:
        return REPRODUCED if abs(ours - cell["paper_v1"]) <= check.tolerance_points else DEVIATES
    panel = [claim for claim in claims(run) if (claim.source, claim.panel) == (figure, cell["panel"])]
    verdicts = [
        judge(difference(run, claim)) for claim in panel if cell["model"] in (claim.better, claim.worse)
    ]
    return min(set(verdicts) - {NOT_RUN}, key=WEAKEST_FIRST.index, default=NOT_COMPARED)


def judge(found: Interval | None) -> str:
    """The verdict on an ordering, from the interval of the difference that should be above 0."""
    if found is None:
        return NOT_RUN
    if found.low > 0:
        return HOLDS
    return DEVIATES if found.high < 0 else NOT_RESOLVED


def difference(run: Run, claim: Claim) -> Interval | None:
    """Better minus worse over the same test items (percentage points); None if either was not run."""
    sides = [metrics_by_seed(run, model, claim) for model in (claim.better, claim.worse)]
    statistics = run.settings.statistics
    drawn = (statistics.draws, statistics.confidence, run.settings.seed)
    found = [paired(*pair, *drawn) for pair in pairs_of_seeds(*sides)]
    return combine(found, statistics.confidence) if found else None


def metrics_by_seed(run: Run, model: str, claim: Claim) -> dict[int, Packed]:
    """The per-item values behind a claim's metric, still packed, by the seed of pre-training."""
    if model not in run.rows:
        return {}
    found = {
        seed: packed(record.metrics[claim.metric])
        for seed, record in records_by_seed(run, model, claim.stage).items()
        if claim.metric in record.metrics
    }
    return {seed: items for seed, items in found.items() if items}


def packed(metric: Metric) -> Packed:
    """What a difference of two models is drawn from; nothing where the record does not keep it."""
    names = next((names for names in ITEMS if set(names) <= metric.items.keys()), ())
    return tuple(metric.items[name] for name in names)


def pairs_of_seeds(better: dict[int, Packed], worse: dict[int, Packed]) -> list[tuple[Packed, Packed]]:
    """Pairs of the seeds that both have; where they have none in common, the first of each."""
    common = [(better[seed], worse[seed]) for seed in better if seed in worse]
    if not common and better and worse:
        return [(next(iter(better.values())), next(iter(worse.values())))]
    return common


@lru_cache(maxsize=256)
@remembered
def paired(better: Packed, worse: Packed, draws: int, confidence: float, seed: int) -> Interval:
    """Bootstrap of the paired difference, in percentage points. A report asks repeatedly."""
    a, b = ([items.unpack() for items in model] for model in (better, worse))
    if len(a) == 1:
        return interval_of_difference(a[0], b[0], draws, confidence, seed).times(100)
    if len(a) == 3:
        images = int(a[2][0])
        labels, *scores = (by_image(values, images) for values in (a[0].astype(bool), a[1], b[1]))
        return interval_of_precision(labels, scores, [1.0, -1.0], draws, confidence, seed).times(100)
    return interval_of_auroc_difference((a[0], a[1]), (b[0], b[1]), draws, confidence, seed).times(100)


def orderings(run: Run) -> "DataFrame":
    """All orderings, the paper's first.

    Columns: source (``figure3``, ``figure6``, ``ours``), ordering, subject (our task or pair), metric,
    paper (its difference in v1, empty for ours), difference, low, high (percentage points), verdict.
    """
    import pandas as pd

    return pd.DataFrame([ordering(run, claim) for claim in claims(run)])


def ordering(run: Run, claim: Claim) -> dict[str, Any]:
    """One row of ``orderings``."""
    found = difference(run, claim)
    value, low, high = (round(number, 4) for number in found) if found else (None, None, None)
    return {
        "source": claim.source,
        "ordering": f"{label(run, claim.better, claim.panel)} > {label(run, claim.worse, claim.panel)}",
        "subject": claim.stage.partition("-")[2],
        "metric": claim.metric,
        "paper": paper_difference(claim),
        "difference": value,
        "low": low,
        "high": high,
        "verdict": judge(found),
    }


def paper_difference(claim: Claim) -> float | None:
    """Better minus worse as the paper prints them (v1, percentage points)."""
    if claim.source == "ours":
        return None
    cells = printed_cells(claim.source)
    measured = [cell for cell in cells if cell["metric"] == claim.metric]
    values = {cell["model"]: cell["paper_v1"] for cell in measured or cells}
    return round(values[claim.better] - values[claim.worse], 3)
