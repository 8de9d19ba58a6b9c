"""A figure's numbers as a tidy table: the paper's cells, ours beside them, and our own rows below."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from m3ae.config import Run
from m3ae.config.printed import figure_rows, own_rows
from m3ae.evaluate.bootstrap import Interval
from m3ae.report.combined import combine
from m3ae.report.intervals import within
from m3ae.report.paper import printed_cells
from m3ae.report.results import record_path
from m3ae.report.seeds import records_by_seed
from m3ae.report.verdicts import cell_verdict

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = [
    "model", "panel", "metric", "paper_v1", "paper_v3", "ours", "low", "high", "seeds", "verdict", "record",
]  # fmt: skip
OURS = "ours"
OOD_METRICS = ("mahalanobis_auroc", "msp_auroc")


def figure_table(run: Run, figure: str) -> "DataFrame":
    """One row per printed cell in the paper's order, then our own rows (panel ``ours``).

    Printed cells carry the paper's metric; ``record`` tells on which task or pair of the run ours was
    measured. Our own rows carry ``{task}_accuracy`` or ``{pair}_{score}_auroc``. Percent throughout;
    empty where nothing was run.
    """
    import pandas as pd

    printed = printed_cells(figure)
    rows = [printed_row(run, figure, cell) for cell in printed]
    for model, stage, metric, name in own_cells(run, figure, [cell["model"] for cell in printed]):
        ours = measured(run, model, stage, metric)
        rows.append({"model": model, "panel": OURS, "metric": name, "verdict": "", **ours})
    return pd.DataFrame(rows, columns=COLUMNS)


def printed_row(run: Run, figure: str, cell: dict[str, Any]) -> dict[str, Any]:
    """A printed cell with ours beside it, and the verdict."""
    ours = measured(run, cell["model"], *first_subject(run, figure, cell["metric"]))
    return {**cell, **ours, "verdict": cell_verdict(run, figure, cell, ours.get("ours"))}


def first_subject(run: Run, figure: str, metric: str) -> tuple[str, str]:
    """Where the run measures what a printed cell shows: name of the record, and metric in it."""
    if figure != "figure6":
        return f"probe-{run.tasks[0]}", "accuracy"
    return f"ood-{run.ood_pairs[0]}", metric


def own_cells(run: Run, figure: str, printed: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Model, record, metric and its name in the table, of all that the paper does not print.

    Figures 3 and 6 show every task or pair, Figures 4 and 5 the first task alone.
    """
    probe = figure != "figure6"
    subjects = (run.tasks if figure == "figure3" else run.tasks[:1]) if probe else run.ood_pairs
    rows = figure_rows(run, figure)
    for subject, metric in product(subjects, ("accuracy",) if probe else OOD_METRICS):
        for model in rows:
            if subject != subjects[0] or model not in printed:
                yield model, f"{'probe' if probe else 'ood'}-{subject}", metric, f"{subject}_{metric}"


def axis_cells(run: Run, table: "DataFrame", figure: str, panel: str | None = None) -> "DataFrame":
    """Of a figure's table what its chart draws: the printed cells (of a panel), and our rows on its axis."""
    is_own = table["panel"] == OURS
    printed = ~is_own if panel is None else table["panel"] == panel
    own = table["model"].isin(own_rows(run, figure, panel)) & (table["metric"] == f"{run.tasks[0]}_accuracy")
    return table[printed | (is_own & own)]


def measured(run: Run, model: str, stage: str, metric: str) -> dict[str, Any]:
    """Our columns of a row, over all its seeds; empty if there is no such record."""
    records = records_by_seed(run, model, stage) if model in run.rows else {}
    found = {seed: record.metrics[metric] for seed, record in records.items() if metric in record.metrics}
    if not found:
        return {}
    intervals = [Interval(one.value, one.low, one.high) for one in found.values()]
    whole = combine(intervals, run.settings.statistics.confidence)
    low, high = within(whole.low, whole.high, next(iter(found.values())).unit)
    return {
        "ours": round(whole.value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "seeds": " ".join(map(str, found)),
        "record": record_path(run, next(iter(records.values())).model, stage).as_posix(),
    }
