"""What the paper prints: ``config/paper_numbers.csv``, one line per number and version of the paper."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import NUMBERS
from m3ae.config.run import SEED
from m3ae.errors import UserError

CELL = ["panel", "row", "model", "metric"]
COLUMNS = ["figure", *CELL, "version", "value", "grade", "source", "note"]
METHODS = {"m3ae": "M3AE", "mae": "MAE", "clip": "CLIP", "supervised": "Supervised"}
TITLES = {
    "figure3": "Figure 3: ImageNet linear accuracy (%)",
    "figure4": "Figure 4: ImageNet linear accuracy (%) by length of training and size",
    "figure5": "Figure 5: ImageNet linear accuracy (%) by text mask ratio",
    "figure6": "Figure 6: out-of-distribution detection, CIFAR-100 against CIFAR-10, AUROC (%)",
}


def read_numbers() -> pd.DataFrame:
    """All printed numbers. Raises UserError, one line, if the file is missing or its columns are wrong."""
    try:
        changed = NUMBERS.stat().st_mtime_ns
    except FileNotFoundError:
        raise UserError(f"{NUMBERS}: no such file; run the command in the project folder") from None
    return parse_numbers(NUMBERS.absolute(), changed)


@lru_cache(maxsize=8)
def parse_numbers(path: Path, changed: int) -> pd.DataFrame:
    """The file as it was at the time ``changed`` (ns): a page asks for it a thousand times."""
    numbers = pd.read_csv(path, keep_default_na=False)
    if list(numbers.columns) != COLUMNS:
        got = ", ".join(numbers.columns)
        raise UserError(f"{NUMBERS}: expected the columns {', '.join(COLUMNS)}, got {got}")
    try:
        return numbers.assign(value=numbers["value"].astype(float))
    except ValueError as error:
        raise UserError(f"{NUMBERS}: column value: {error}; expected percentages such as 59.4") from None


def printed_cells(figure: str) -> pd.DataFrame:
    """The cells of a figure in the paper's order: panel, row, model, metric, paper_v1, paper_v3."""
    numbers = read_numbers()
    if figure not in TITLES:
        raise UserError(f"figure {figure!r}: expected one of {', '.join(TITLES)}")
    numbers = numbers[numbers["figure"] == figure]
    values = numbers.pivot(index=CELL, columns="version", values="value").reindex(columns=["v1", "v3"])
    cells = numbers[CELL].drop_duplicates()
    return cells.merge(values.add_prefix("paper_").reset_index(), on=CELL, how="left")


def label(run: Run, model: str, panel: str = "") -> str:
    """The name of a model in tables and charts: the paper's in ``panel``, else the first that it prints."""
    row, _, seed = model.partition(SEED)
    grid = run.settings.models
    if row in grid and grid[row].epochs == 0:
        return "untrained"
    numbers = read_numbers()
    found = numbers[numbers["model"] == row]
    if panel in set(found["panel"]):
        found = found[found["panel"] == panel]
    name = str(found["row"].iloc[0]) if len(found) else row
    return f"{name}, seed {seed}" if seed else name


def method(run: Run, model: str) -> str:
    """M3AE, MAE, CLIP, Supervised or untrained: what decides a model's colour."""
    grid, row = run.settings.models, model.partition(SEED)[0]
    if row not in grid:
        return label(run, model)
    return METHODS[grid[row].method] if grid[row].epochs > 0 else "untrained"
