"""What the paper prints: ``config/paper_numbers.csv``, one line per number and version of the paper."""

import csv
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from m3ae.config import Run
from m3ae.config.grid import SEED
from m3ae.config.printed import NUMBERS
from m3ae.errors import UserError

CELL = ["panel", "row", "model", "metric"]
COLUMNS = ["figure", *CELL, "version", "value", "grade", "source", "note"]
OWN = {"m3ae-b100-texts": "M3AE, plain text too", "clip-b35": "CLIP, 35 epochs"}
"""Rows of ours that the paper does not have."""
METHODS = {"m3ae": "M3AE", "mae": "MAE", "clip": "CLIP", "supervised": "Supervised"}
TITLES = {
    "figure3": "Figure 3: ImageNet linear accuracy (%)",
    "figure4": "Figure 4: ImageNet linear accuracy (%) by length of training and size",
    "figure5": "Figure 5: ImageNet linear accuracy (%) by text mask ratio",
    "figure6": "Figure 6: out-of-distribution detection, CIFAR-100 against CIFAR-10, AUROC (%)",
}


def read_numbers() -> list[dict[str, Any]]:
    """All printed numbers. Raises UserError, one line, if the file is missing or its columns are wrong."""
    try:
        changed = NUMBERS.stat().st_mtime_ns
    except FileNotFoundError:
        raise UserError(f"{NUMBERS}: no such file; run the command in the project folder") from None
    return parse_numbers(NUMBERS.absolute(), changed)


@lru_cache(maxsize=8)
def parse_numbers(path: Path, changed: int) -> list[dict[str, Any]]:
    """The file as it was at the time ``changed`` (ns): a page asks for it a thousand times."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if reader.fieldnames != COLUMNS:
        got = ", ".join(reader.fieldnames or [])
        raise UserError(f"{NUMBERS}: expected the columns {', '.join(COLUMNS)}, got {got}")
    try:
        return [{**row, "value": float(row["value"])} for row in rows]
    except ValueError as error:
        raise UserError(f"{NUMBERS}: column value: {error}; expected percentages such as 59.4") from None


def printed_cells(figure: str) -> list[dict[str, Any]]:
    """The cells of a figure in the paper's order: panel, row, model, metric, paper_v1, paper_v3 (or nan)."""
    numbers = read_numbers()
    if figure not in TITLES:
        raise UserError(f"figure {figure!r}: expected one of {', '.join(TITLES)}")
    cells: dict[tuple[str, ...], dict[str, Any]] = {}
    for number in numbers:
        if number["figure"] == figure:
            key = {name: number[name] for name in CELL}
            empty = {**key, "paper_v1": math.nan, "paper_v3": math.nan}
            cells.setdefault(tuple(key.values()), empty)[f"paper_{number['version']}"] = number["value"]
    return list(cells.values())


def label(run: Run, model: str, panel: str = "") -> str:
    """The name of a model in tables and charts: the paper's in ``panel``, else the first that it prints."""
    row, _, seed = model.partition(SEED)
    grid = run.settings.models
    if row in grid and grid[row].epochs == 0:
        alone = sum(one.epochs == 0 for one in grid.values()) == 1
        return "untrained" if alone else f"untrained ({row})"
    found = [number for number in read_numbers() if number["model"] == row]
    here = [number for number in found if number["panel"] == panel]
    name = str((here or found)[0]["row"]) if found else OWN.get(row, row)
    return f"{name}, seed {seed}" if seed else name


def method(run: Run, model: str) -> str:
    """M3AE, MAE, CLIP, Supervised or untrained: what decides a model's colour."""
    grid, row = run.settings.models, model.partition(SEED)[0]
    if row not in grid:
        return label(run, model)
    return METHODS[grid[row].method] if grid[row].epochs > 0 else "untrained"
