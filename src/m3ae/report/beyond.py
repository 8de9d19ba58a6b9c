"""The page's part beyond the paper's figures: charts, and every number with its interval."""

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.extended import describe, extended_table
from m3ae.report.format import NOTHING, interval, rounded
from m3ae.report.paper import label
from m3ae.report.targets import TARGETS, in_words


def beyond(run: Run) -> str:
    """A part for each target; "-" where nothing of it was run."""
    return html.joined(part(run, name) for name in TARGETS)


def part(run: Run, name: str) -> Markup:
    """Title, how to read it, chart, tables."""
    target, table = TARGETS[name], extended_table(run, name)
    head = Markup("<h3>{}</h3>").format(target.title)
    if table.empty:
        return head + html.note(NOTHING)
    chart = html.chart(run, name, describe(run, name, table))
    tables = [panel_table(run, str(panel), rows, name) for panel, rows in table.groupby("panel", sort=False)]
    body = Markup("<details><summary>All numbers</summary>{}</details>").format(html.joined(tables))
    return head + html.note(target.about) + chart + body


def panel_table(run: Run, panel: str, rows: pd.DataFrame, name: str) -> Markup:
    """Metrics down, models across; each cell links to its record."""
    cells: dict[str, dict[str, Markup]] = {}
    for row in rows.to_dict("records"):
        value = html.link(row["record"], rounded(row["ours"]))
        shown = Markup("{} <small>{}</small>").format(value, interval(row["low"], row["high"]))
        cells.setdefault(in_words(row["metric"]), {})[label(run, row["model"])] = shown
    frame = pd.DataFrame.from_dict(cells, orient="index").fillna(NOTHING)
    frame.insert(0, "measure", frame.index)
    caption = f"{TARGETS[name].title}: {panel}" if panel != name else TARGETS[name].title
    return html.table(frame, words=["measure"], caption=caption)
