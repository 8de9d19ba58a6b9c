"""The pages beyond the paper's figures: charts, and every number with its interval."""

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval
from m3ae.report import gains, html
from m3ae.report.extended import describe, extended_table
from m3ae.report.format import NOTHING, interval, rounded
from m3ae.report.measures import in_words
from m3ae.report.paper import label
from m3ae.report.subjects import subject
from m3ae.report.targets import TARGETS

MANY = 100
"""Numbers on a page above which its tables are folded."""


def beyond(run: Run, name: str) -> str:
    """Chart and tables of a target; "-" where nothing of it was run."""
    table = extended_table(run, name)
    if table.empty:
        return html.note(f"- (nothing of it was run: snakemake {name} --config run={run.name})")
    chart, paired = html.chart(run, name, describe(run, name, table)), gains.gains(run, table)
    tables = [
        panel_table(run, str(panel), rows, name, paired) for panel, rows in table.groupby("panel", sort=False)
    ]
    if len(table) > MANY:
        names = table["panel"].value_counts(sort=False)
        tables = [
            html.details(f"{subject(str(panel))}: {number} numbers", found, numbers=True)
            for (panel, number), found in zip(names.items(), tables, strict=True)
        ]
    note = html.note(gains.note(run, paired)) if paired else Markup("")
    return chart + Markup("<h2>All numbers</h2>") + note + html.joined(tables)


def about(name: str) -> str:
    """How a target's numbers are read."""
    return Markup("<p>{}</p>").format(html.marked(TARGETS[name].about))


def panel_table(
    run: Run, panel: str, rows: pd.DataFrame, name: str, paired: dict[tuple[str, str], Interval]
) -> Markup:
    """Metrics down, models and the paired difference across; each cell links to its record."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows.to_dict("records"):
        value = html.link(row["record"], rounded(row["ours"]))
        shown = Markup("{} <small>{}</small>").format(value, interval(row["low"], row["high"]))
        cells.setdefault(in_words(row["metric"]), {})[label(run, row["model"])] = shown
    for metric in rows["metric"].unique():
        if (panel, metric) in paired:
            found = paired[panel, metric]
            cells[in_words(metric)][gains.TITLE] = gains.in_words(found)
    frame = pd.DataFrame.from_dict(cells, orient="index").fillna(NOTHING)
    frame.insert(0, "measure", frame.index)
    caption = f"{TARGETS[name].title}: {subject(panel)}" if panel != name else TARGETS[name].title
    return html.table(frame, words=["measure"], caption=caption)
