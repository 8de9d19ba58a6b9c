"""Ours against what it should be: the paper within the run's tolerance, and the committed reference."""

from collections.abc import Iterator
from typing import NamedTuple

from m3ae.config import Run
from m3ae.config.printed import as_printed
from m3ae.errors import UserError
from m3ae.report.cells import TABLES, Cell, all_cells
from m3ae.report.paper import TITLES
from m3ae.report.references import Expected, read_reference, reference_path
from m3ae.report.tables import measured
from m3ae.report.verdicts import NOT_RUN

OK, OUTSIDE, GONE = "ok", "outside", "gone"
"""`gone`: the record is there, the metric in it is not."""
TINY = 1e-9
"""So that rounding does not push a number over the edge of its tolerance."""


class Line(NamedTuple):
    """One number against one standard."""

    cell: str
    paper: float | None
    reference: float | None
    ours: float | None
    tolerance: float
    verdict: str

    @property
    def expected(self) -> float:
        """What it should be."""
        found = self.reference if self.paper is None else self.paper
        assert found is not None
        return found

    @property
    def difference(self) -> float | None:
        """Ours minus what it should be."""
        return None if self.ours is None else self.ours - self.expected


def check(run: Run) -> list[Line]:
    """Every number that something can be said about.

    A comparable run is held to the paper; every run that has one, to its reference. Raises UserError, one
    line, where there is nothing to hold it to, or nothing was run.
    """
    reference, comparable = read_reference(run), run.settings.check.comparable
    if not reference and not comparable:
        raise UserError(
            f"{reference_path(run)}: no such reference, and run {run.name!r} is not held to the paper "
            f"(check.comparable: false); to write one from the records that are there: "
            f"m3ae check --run {run.name} --write-reference"
        )
    lines = [*(against_paper(run) if comparable else ()), *against_reference(run, reference)]
    if all(line.verdict == NOT_RUN for line in lines):
        raise UserError(f"run {run.name!r}: nothing was run; make it: snakemake all --config run={run.name}")
    return lines


def against_paper(run: Run) -> Iterator[Line]:
    """The printed cells of Figures 3 to 6 against the paper's first version; edited rows are left out."""
    tolerance = run.settings.check.tolerance_points
    for figure in TITLES:
        for cell in TABLES[figure](run):
            if cell.printed is not None and as_printed(run, cell.model):
                paper, ours = cell.printed["paper_v1"], value(run, cell)
                yield Line(cell.name, paper, None, ours, tolerance, judge(ours, Expected(paper, tolerance)))


def against_reference(run: Run, reference: dict[str, Expected]) -> Iterator[Line]:
    """Every cell of the reference, and what became of those that are no more."""
    cells = {cell.name: cell for cell in all_cells(run)} if reference else {}
    for name, expected in reference.items():
        cell = cells.get(name)
        ours = value(run, cell) if cell else None
        verdict = judge(ours, expected) if cell or unmade(cells, name) else GONE
        yield Line(name, None, expected.value, ours, expected.tolerance, verdict)


def value(run: Run, cell: Cell) -> float | None:
    """Ours, over all seeds."""
    found: float | None = measured(run, cell.model, cell.stage, cell.metric).get("ours")
    return found


def judge(ours: float | None, expected: Expected) -> str:
    """Whether a number is what it should be."""
    if ours is None:
        return NOT_RUN
    return OK if abs(ours - expected.value) <= expected.tolerance + TINY else OUTSIDE


def unmade(cells: dict[str, Cell], name: str) -> bool:
    """Whether a cell is of a record that was not made, so that nobody knows its metrics."""
    return any(not cell.metric and name.startswith(f"{cell.name}.") for cell in cells.values())
