"""The printed cells that a record stands behind: rows of ``reports/RUN/TARGET.csv`` that name it."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

REPORTS = Path("reports")


COLUMNS = ("model", "panel", "metric", "ours", "stage")


class Cell(NamedTuple):
    """A number of a table, or a row of one without metrics; empty what the table has no column of."""

    table: str
    """`reports/photos/figure3.csv`."""
    model: str
    panel: str
    metric: str
    ours: str
    stage: str
    """Of a table that has several numbers a row, and no metric: `compute`."""

    @property
    def words(self) -> str:
        """`method, imagenet_accuracy = 25.2`; by its model where the table has no panels."""
        where, what = self.panel or self.model, self.metric or self.stage
        return f"{where}, {what} = {self.ours or '-'}" if self.metric else f"{where}, {what}"

    @property
    def target(self) -> str:
        """`figure3`."""
        return Path(self.table).stem


def cells_by_record() -> dict[Path, list[Cell]]:
    """All cells of all tables in this project, by the record that each comes from."""
    found: dict[Path, list[Cell]] = defaultdict(list)
    for path in sorted(REPORTS.glob("*/*.csv")):
        for row in rows_of(path):
            cell = Cell(path.as_posix(), *(row.get(key, "") for key in COLUMNS))
            found[Path(row["record"])].append(cell)
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table that name a record; none of a table that has no such column."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("record")]
