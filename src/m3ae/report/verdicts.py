"""Verdicts, computed from records: never typed by hand."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from m3ae.config import Run
from m3ae.config.printed import as_printed
from m3ae.errors import UserError
from m3ae.evaluate.bootstrap import Interval, interval_of_auroc_difference, interval_of_difference
from m3ae.evaluate.precision import by_image, interval_of_precision
from m3ae.records import Items, Metric
from m3ae.report.claims import Claim, claims
from m3ae.report.combined import across, combine
from m3ae.report.remembered import remembered
from m3ae.report.seeds import records_by_seed

REPRODUCED, DEVIATES = "reproduced", "deviates"
"""Of a number that can be compared with the paper's."""
HOLDS, FAILS, NOT_RESOLVED = "ordering holds", "ordering does not hold", "not resolved"
"""Of an ordering."""
NOT_RUN, NOT_COMPARED = "not run", "not compared"
WEAKEST_FIRST = [FAILS, NOT_RESOLVED, HOLDS]
ITEMS = (("correct",), ("labels", "scores", "images"), ("in", "out"))
"""Names of a metric's per-item values: of an accuracy, of a mean average precision, of an AUROC."""
Packed = tuple[Items, ...]


def cell_verdict(run: Run, figure: str, cell: Mapping[Any, Any], ours: float | None) -> str:
    """The verdict on one printed cell, of which this run's value is ``ours`` (%; None: not run).

    A comparable run is held to the number (within `check.tolerance_points`), every other run to the
    orderings of the cell's panel that the cell takes part in. The weakest verdict counts; an ordering
    whose other side was not run, or is no longer the paper's row, judges nothing: where none is left, the
    number is not compared.
    """
    if ours is None:
        return NOT_RUN
    if not as_printed(run, cell["model"]):
        return NOT_COMPARED
    check = run.settings.check
    if check.comparable:
        return REPRODUCED if abs(ours - cell["paper_v1"]) <= check.tolerance_points else DEVIATES
    panel = [claim for claim in claims(run) if (claim.source, claim.panel) == (figure, cell["panel"])]
    verdicts = {verdict(run, claim) for claim in panel if cell["model"] in (claim.better, claim.worse)}
    return min(verdicts & {*WEAKEST_FIRST}, key=WEAKEST_FIRST.index, default=NOT_COMPARED)


def verdict(run: Run, claim: Claim) -> str:
    """The verdict on an ordering; the paper's judge its own rows alone, not what a run made of them."""
    found = difference(run, claim)
    rows = () if claim.source == "ours" or found is None else (claim.better, claim.worse)
    return judge(found) if all(as_printed(run, row) for row in rows) else NOT_COMPARED


def judge(found: Interval | None) -> str:
    """The verdict on an ordering, from the interval of the difference that should be above 0."""
    if found is None:
        return NOT_RUN
    if found.low > 0:
        return HOLDS
    return FAILS if found.high < 0 else NOT_RESOLVED


def difference(run: Run, claim: Claim) -> Interval | None:
    """Better minus worse over the same test items (percentage points); None if either was not run.

    Where both have the same seeds, seed by seed; else every seed of one against every seed of the other.
    """
    better, worse = sides(run, claim)
    if not (better and worse):
        return None
    statistics = run.settings.statistics
    drawn = (statistics.draws, statistics.confidence, run.settings.seed)
    if better.keys() == worse.keys():
        found = [paired(better[seed], worse[seed], *drawn) for seed in better]
        return combine(found, statistics.confidence)
    grid = [[paired(one, other, *drawn) for other in worse.values()] for one in better.values()]
    return across(grid, statistics.confidence)


def sides(run: Run, claim: Claim) -> tuple[dict[int, Packed], dict[int, Packed]]:
    """The items of the better and of the worse model, by the seed of pre-training."""
    return metrics_by_seed(run, claim.better, claim), metrics_by_seed(run, claim.worse, claim)


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


@lru_cache(maxsize=256)
@remembered
def paired(better: Packed, worse: Packed, draws: int, confidence: float, seed: int) -> Interval:
    """Bootstrap of the paired difference, in percentage points. A report asks repeatedly."""
    a, b = ([items.unpack() for items in model] for model in (better, worse))
    if len(a) == 1:
        return interval_of_difference(a[0], b[0], draws, confidence, seed).times(100)
    if len(a) == 3:
        check_labels(a, b)
        images = int(a[2][0])
        labels, *scores = (by_image(values, images) for values in (a[0].astype(bool), a[1], b[1]))
        return interval_of_precision(labels, scores, [1.0, -1.0], draws, confidence, seed).times(100)
    return interval_of_auroc_difference((a[0], a[1]), (b[0], b[1]), draws, confidence, seed).times(100)


def check_labels(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    """Raise UserError unless two models' scores are of the same images with the same concepts."""
    (labels, _, images), (others, _, other_images) = a, b
    if not (np.array_equal(images, other_images) and np.array_equal(labels, others)):
        sizes = f"{images[0]} and {other_images[0]} images" if images[0] != other_images[0] else "other ones"
        raise UserError(
            f"paired difference of average precisions: expected the same images and labels, got {sizes}; "
            "make both records again from the same pairs and concepts"
        )
