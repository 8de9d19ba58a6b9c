"""The index of cells: every number and every ordering of a run, by the name that `m3ae explain` takes."""

import difflib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.report.claims import Claim, claims
from m3ae.report.paper import TITLES, printed_cells
from m3ae.report.results import find_record
from m3ae.report.tables import first_subject, own_cells
from m3ae.report.targets import TARGETS

SEVERAL_PANELS = "figure4"
"""The figure that prints one model in several panels."""
RECORDS = {"figure7": "pointing", "figure9": "clusters"}
"""Figures of which the paper prints no number, and the record that has ours."""
ORDERINGS = "orderings"
NEAREST = 5


class Cell(NamedTuple):
    """A number (of ``model``) or an ordering (``claim``)."""

    name: str
    """Such as `figure3.m3ae-b100`; its first part is a table's name."""
    model: str
    stage: str
    """Name of the record, such as `probe-digit`."""
    metric: str
    """Metric in it; empty where the record is not there, and nobody knows which it will have."""
    printed: dict[str, Any] | None = None
    """The paper's cell, as `printed_cells` has it."""
    claim: Claim | None = None


def figure_cells(run: Run, figure: str) -> Iterator[Cell]:
    """`figure3.MODEL`, `figure4.PANEL.MODEL`, `figure6.MODEL.SCORE`; on a further task or pair: `.SUBJECT`.

    A model that Figure 3 prints a second time, with its panel: `figure3.paired-share.m3ae-b100`.
    """
    printed, named = printed_cells(figure), set()
    for cell in printed:
        stage, metric = first_subject(run, figure, cell["metric"])
        name = cell_name(figure, "", cell["model"], metric)
        if figure == SEVERAL_PANELS or name in named:
            name = cell_name(figure, cell["panel"].replace(" ", "-"), cell["model"], metric)
        named.add(name)
        yield Cell(name, cell["model"], stage, metric, cell)
    for model, stage, metric, _ in own_cells(run, figure, [cell["model"] for cell in printed]):
        name = cell_name(figure, "", model, metric)
        is_first = stage == first_subject(run, figure, metric)[0]
        yield Cell(name if is_first else f"{name}.{subject(stage)}", model, stage, metric)


def cell_name(figure: str, panel: str, model: str, metric: str) -> str:
    """The name of a figure's cell on the first task or pair."""
    parts = [figure, panel, model, score(metric)]
    return ".".join(part for part in parts if part)


def score(metric: str) -> str:
    """`mahalanobis` of `mahalanobis_auroc`; nothing for an accuracy."""
    return metric.removesuffix("_auroc") if metric.endswith("_auroc") else ""


def subject(stage: str) -> str:
    """The task or pair of a record's name."""
    return stage.partition("-")[2]


def recorded_cells(run: Run, table: str) -> Iterator[Cell]:
    """`TABLE.MODEL.SUBJECT.METRIC` for what the records hold; `TABLE.MODEL.SUBJECT` where none is.

    `figure9.MODEL.METRIC` for a figure of which the paper prints no number.
    """
    for stage in recorded_stages(run, table):
        for model in models_of(run, table):
            record = find_record(run, model, stage)
            name = ".".join(part for part in (table, model, subject(stage)) if part)
            if record is None:
                yield Cell(name, model, stage, "")
            else:
                yield from (Cell(f"{name}.{metric}", model, stage, metric) for metric in record.metrics)


def recorded_stages(run: Run, table: str) -> list[str]:
    """The records behind a table that the paper does not have."""
    return TARGETS[table].records(run) if table in TARGETS else [RECORDS.get(table, table)]


def models_of(run: Run, table: str) -> list[str]:
    """The rows of such a table."""
    if table == "captions":
        return run.readers
    if table in TARGETS:
        return run.headline
    if table == "figure7":  # whether words look at what they name
        return run.models_of("m3ae")[:1] if run.knows_places else []
    if table == "figure9":
        return run.clustered
    if table == "concepts":
        return run.rows if run.settings.concepts is not None else []
    return [row for row in run.rows if row in run.rebuilding]


def ordering_cells(run: Run) -> Iterator[Cell]:
    """`orderings.FIGURE.BETTER.over.WORSE`, and what tells it from another of the same two models."""
    for claim in claims(run):
        panel = claim.panel if claim.source == SEVERAL_PANELS else ""
        own = claim.stage if claim.source == "ours" else ""
        parts = [ORDERINGS, claim.source, panel, claim.better, "over", claim.worse, own, score(claim.metric)]
        name = ".".join(part for part in parts if part)
        yield Cell(name, claim.better, claim.stage, claim.metric, claim=claim)


TABLES: dict[str, Callable[[Run], Iterator[Cell]]] = {
    **{figure: partial(figure_cells, figure=figure) for figure in TITLES},
    **{table: partial(recorded_cells, table=table) for table in (*RECORDS, "concepts", "heldout", *TARGETS)},
    ORDERINGS: ordering_cells,
}


def all_cells(run: Run) -> Iterator[Cell]:
    """Every cell of a run, table by table."""
    for table in TABLES.values():
        yield from table(run)


def find_cell(run: Run, name: str) -> Cell:
    """The cell of a name; the record's where the cell's metric is not known yet.

    Raises UserError, one line: the nearest names, and how to list all.
    """
    table = name.partition(".")[0]
    cells = list(TABLES[table](run)) if table in TABLES else []
    if table in TABLES and not cells:
        raise UserError(
            f"{name}: run {run.name!r} measures nothing of {table}; expected a cell that it has: "
            f"m3ae explain --list --run {run.name}"
        )
    for cell in cells:
        if cell.name == name or (not cell.metric and name.startswith(f"{cell.name}.")):
            return cell
    inside = [cell.name for cell in cells if cell.name.startswith(f"{name}.")]
    others = [cell.name for cell in cells or all_cells(run)]
    close = inside or difflib.get_close_matches(name, others, n=NEAREST) or list(TABLES)
    word = "several cells" if inside else "no such cell"
    more = f" ({len(close)} in all)" if len(close) > 2 * NEAREST else ""
    shown = ", ".join(close[: 2 * NEAREST])
    raise UserError(
        f"{name or repr(name)}: {word} of run {run.name!r}; expected one such as {shown}{more}; "
        f"all of them: m3ae explain --list --run {run.name}"
    )
