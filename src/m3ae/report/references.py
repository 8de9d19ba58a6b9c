"""Committed reference results, ``tests/reference/RUN.json``: a value and a tolerance for each cell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.files import write_text
from m3ae.records import Metric
from m3ae.report.cells import Cell, all_cells
from m3ae.report.explain import models_with
from m3ae.report.tables import measured

RULE_OF_THREE = 300
"""Percent times items: what no hit in n items leaves possible (95 %), where a bootstrap sees no spread."""


class Expected(NamedTuple):
    """What a cell should be."""

    value: float
    tolerance: float
    """Largest difference that is none, in the cell's unit."""


def reference_path(run: Run) -> Path:
    """Where a run's reference lies, relative to the project folder."""
    return Path("tests/reference") / f"{run.name}.json"


def read_reference(run: Run) -> dict[str, Expected]:
    """The reference by cell; empty if there is none. Raises UserError, one line, if it is broken."""
    path = reference_path(run)
    if not path.is_file():
        return {}
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return {name: Expected(float(value), float(tolerance)) for name, (value, tolerance) in cells.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{path}: expected {{"cells": {{CELL: [value, tolerance]}}}}, got {error!r}; restore it, or '
            f"write it anew: m3ae check --run {run.name} --write-reference"
        ) from None


def write_reference(run: Run, tolerance: float | None) -> int:
    """Write the records that are there as the reference; the number of cells.

    A cell's tolerance is half of its interval (the longer side), or ``tolerance`` for all.
    """
    cells = {
        cell.name: Expected(row["ours"], around(row, metric) if tolerance is None else tolerance)
        for cell, row, metric in measured_cells(run)
    }
    if not cells:
        raise UserError(f"run {run.name!r} has no records; make them: snakemake all --config run={run.name}")
    write_text(reference_path(run), as_json(run, cells, tolerance))
    return len(cells)


def as_json(run: Run, cells: dict[str, Expected], tolerance: float | None) -> str:
    """The file: a line for each cell, so that a change of one is a change of one line."""
    head = {"run": run.name, "tolerance": "half of the cell's interval" if tolerance is None else tolerance}
    lines = [f"  {json.dumps(name)}: [{one.value:.7g}, {one.tolerance:g}]" for name, one in cells.items()]
    body = ",\n".join(lines)
    return f'{json.dumps(head, indent=1)[:-2]},\n "cells": {{\n{body}\n }}\n}}\n'


def measured_cells(run: Run) -> Iterator[tuple[Cell, dict[str, Any], Metric]]:
    """The cells with a number: the row as in the tables, and the first seed's metric."""
    for cell in all_cells(run):
        if cell.claim is None and (row := measured(run, cell.model, cell.stage, cell.metric)):
            records = models_with(run, cell.model, cell.stage, cell.metric)
            yield cell, row, next(iter(records.values())).metrics[cell.metric]


def around(row: dict[str, Any], metric: Metric) -> float:
    """Half of an interval; for a share no less than what its number of items can resolve."""
    half = max(row["high"] - row["ours"], row["ours"] - row["low"])
    floor = RULE_OF_THREE / metric.n if metric.unit == "%" else 0.0
    return round(max(half, floor), 4)
