"""The run's numbers for ``dvc metrics``: nothing that two equal runs could differ in."""

import json
from typing import Any

from m3ae.config import Run
from m3ae.files import write_text
from m3ae.records import Metric
from m3ae.report.results import find_record


def write_summary(run: Run) -> None:
    """Write ``reports/{run}/summary.json``."""
    write_text(run.paths.reports / "summary.json", json.dumps(summary(run), indent=1) + "\n")


def summary(run: Run) -> dict[str, Any]:
    """Probes, OOD scores, concepts, held-out errors: number and interval by model."""
    further = {f"probe-{task}": numbers(run, f"probe-{task}", "accuracy") for task in run.tasks[1:]}
    pairs = {f"ood-{pair}": numbers(run, f"ood-{pair}") for pair in run.ood_pairs[1:]}
    return {
        "figure3": numbers(run, f"probe-{run.tasks[0]}", "accuracy"),
        "figure6": numbers(run, f"ood-{run.ood_pairs[0]}"),
        **further,
        **pairs,
        "concepts": numbers(run, "concepts"),
        "heldout": numbers(run, "heldout"),
    }


def numbers(run: Run, stage: str, metric: str | None = None) -> dict[str, Any]:
    """By model: one metric, or all metrics of its record."""
    found: dict[str, Any] = {}
    for model in run.models:
        record = find_record(run, model, stage)
        if record is not None:
            values = {name: ends(value) for name, value in record.metrics.items()}
            found[model] = values[metric] if metric else values
    return found


def ends(metric: Metric) -> dict[str, float]:
    """Value and interval."""
    return {name: round(getattr(metric, name), 4) for name in ("value", "low", "high")}
