"""What the paper prints: ``config/paper_numbers.csv``, one line per number and version of the paper."""

from pathlib import Path

import pandas as pd

from m3ae.config import Run
from m3ae.errors import UserError

NUMBERS = Path("config/paper_numbers.csv")
CELL = ["panel", "row", "model", "metric"]
COLUMNS = ["figure", *CELL, "version", "value", "grade", "source", "note"]
TITLES = {
    "figure3": "Figure 3: ImageNet linear accuracy (%)",
    "figure6": "Figure 6: out-of-distribution detection, CIFAR-100 against CIFAR-10, AUROC (%)",
}


def read_numbers() -> pd.DataFrame:
    """All printed numbers. Raises UserError, one line, if the file is missing or its columns are wrong."""
    try:
        numbers = pd.read_csv(NUMBERS, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{NUMBERS}: no such file; run the command in the project folder") from None
    if list(numbers.columns) != COLUMNS:
        got = ", ".join(numbers.columns)
        raise UserError(f"{NUMBERS}: expected the columns {', '.join(COLUMNS)}, got {got}")
    try:
        numbers["value"] = numbers["value"].astype(float)
    except ValueError as error:
        raise UserError(f"{NUMBERS}: column value: {error}; expected percentages such as 59.4") from None
    return numbers


def printed_cells(figure: str) -> pd.DataFrame:
    """The cells of a figure in the paper's order: panel, row, model, metric, paper_v1, paper_v3."""
    numbers = read_numbers()
    if figure not in TITLES:
        raise UserError(f"figure {figure!r}: expected one of {', '.join(TITLES)}")
    numbers = numbers[numbers["figure"] == figure]
    values = numbers.pivot(index=CELL, columns="version", values="value").reindex(columns=["v1", "v3"])
    cells = numbers[CELL].drop_duplicates()
    return cells.merge(values.add_prefix("paper_").reset_index(), on=CELL, how="left")


def printed_models() -> list[str]:
    """Every model that the paper prints anywhere."""
    return list(dict.fromkeys(read_numbers()["model"]))


def label(run: Run, model: str, panel: str = "") -> str:
    """The name of a model in tables and charts: the paper's in ``panel``, else the first in Figure 3."""
    grid = run.settings.models
    if model in grid and grid[model].epochs == 0:
        return "untrained"
    numbers = read_numbers()
    rows = numbers[(numbers["figure"] == "figure3") & (numbers["model"] == model)]
    if panel in set(rows["panel"]):
        rows = rows[rows["panel"] == panel]
    return str(rows["row"].iloc[0]) if len(rows) else model


def method(run: Run, model: str) -> str:
    """M3AE, MAE, CLIP, Supervised or untrained: what decides a model's colour."""
    grid = run.settings.models
    if model in grid:
        return {"m3ae": "M3AE", "mae": "MAE"}[grid[model].method] if grid[model].epochs > 0 else "untrained"
    return label(run, model)
