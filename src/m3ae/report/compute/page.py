"""The page `compute`: chart, sums, a row per stage, what was not measured, the forecast."""

from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.compute.chart import describe
from m3ae.report.compute.forecast import forecast_table, forecast_words
from m3ae.report.compute.spent import spent_table
from m3ae.report.compute.stages import PRETRAIN
from m3ae.report.compute.table import NAME, readable
from m3ae.report.compute.words import totals, unmeasured

WORDS = ["model", "stage", "machine", "MFU is a share of", "record"]


def spent(run: Run) -> str:
    """Chart, sums in words, what each training cost, and a row for every stage."""
    table = spent_table(run)
    rows = readable(run, table)
    rows["record"] = [html.link(path, "record") for path in table["record"]]
    trainings = rows[(table["stage"] == PRETRAIN).to_numpy()].drop(columns="stage", errors="ignore")
    return (
        html.chart(run, NAME, describe(run, table))
        + Markup("<p>{}</p>").format(totals(table))
        + html.table(trainings, words=WORDS, caption="What each training cost")
        + html.details(f"Every stage: {len(rows)}", html.table(rows, words=WORDS), numbers=True)
    )


def missing(run: Run) -> str:
    """What the table does not know."""
    told = unmeasured(run, spent_table(run))
    lines = [Markup("<li>{}</li>").format(html.marked(line)) for line in told]
    return Markup("<ul>{}</ul>").format(html.joined(lines))


def paper() -> str:
    """The forecast."""
    words = Markup("<p>{}</p>").format(forecast_words())
    table = forecast_table()
    table["model"] = [html.marked(model) for model in table["model"]]
    return words + html.table(table, words=["model"], caption="Forecast of paper, not measured")
