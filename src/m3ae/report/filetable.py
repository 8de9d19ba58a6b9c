"""Tables that other targets wrote, as they are; "-" where no target wrote them."""

import pandas as pd

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import NOTHING


def table_file(run: Run, name: str) -> str:
    """``reports/{run}/{name}.csv`` as a table; "-" if no target wrote it."""
    path = run.paths.reports / f"{name}.csv"
    if not path.is_file():
        return html.note(f"- (no numbers yet: snakemake {name} --config run={run.name})")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).replace("", NOTHING)
    frame.columns = [column.replace("_", " ") for column in frame.columns]
    return html.table(frame, words=[name for name in frame.columns if not numeric(frame[name])])


def numeric(column: pd.Series) -> bool:
    """Whether a column of text holds numbers and dashes alone."""
    found = column[column != NOTHING]
    return bool(len(found)) and bool(pd.to_numeric(found, errors="coerce").notna().all())


def chart_and_table(run: Run, name: str) -> str:
    """The chart of a target, if it has one, and its table."""
    has_chart = (run.paths.reports / f"{name}.svg").is_file()
    alt = f"Chart of the table below: {name} by model and stage"
    return (html.chart(run, name, alt) if has_chart else "") + table_file(run, name)
