"""Tables that other targets wrote, as they are; "-" where no target wrote them."""

import pandas as pd

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import NOTHING

HEADS = {
    "sample": "held-out pair",
    "share_percent": "share of its attention (%)",
    "share_of_word_percent": "share of the word (%)",
    "evenly_percent": "if spread evenly (%)",
    "looks_at": "looks at most",
}
"""Columns of files for programs, as people read them."""


def table_file(run: Run, name: str) -> str:
    """``reports/{run}/{name}.csv`` as a table; "-" if no target wrote it."""
    path = run.paths.reports / f"{name}.csv"
    if not path.is_file():
        return html.note(f"- (no numbers yet: snakemake {name} --config run={run.name})")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).replace("", NOTHING)
    frame = frame.rename(columns=in_words)
    return html.table(frame, words=[name for name in frame.columns if not numeric(frame[name])])


def in_words(column: str) -> str:
    """The head of a column."""
    return HEADS.get(column, column.replace("_", " "))


def numeric(column: pd.Series) -> bool:
    """Whether a column of text holds numbers and dashes alone."""
    found = column[column != NOTHING]
    return bool(len(found)) and bool(pd.to_numeric(found, errors="coerce").notna().all())


def chart_and_table(run: Run, name: str) -> str:
    """The chart of a target, if it has one, and its table."""
    has_chart = (run.paths.reports / f"{name}.svg").is_file()
    alt = f"Chart of the table below: {name} by model and stage"
    return (html.chart(run, name, alt) if has_chart else "") + table_file(run, name)
