"""A figure's page: the chart, every number, the settings that are not the paper's, the commands."""

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import curves, figure6, html
from m3ae.report.cells import figure_cells
from m3ae.report.describe import describe
from m3ae.report.differences import differences
from m3ae.report.format import NOTHING, interval, rounded
from m3ae.report.markdown import readable, what
from m3ae.report.orderings import METRICS
from m3ae.report.paper import label
from m3ae.report.subjects import subject
from m3ae.report.tables import OURS, figure_table, first_subject
from m3ae.report.trace import commands, sources

TRAINED = ("samples_per_epoch", "batch_size", "data", "architecture", "pretrain")
PROBED = (*TRAINED, "models", "repeats", "clip", "supervised", "features", "probe", "statistics", "check")
SETTINGS = {
    "figure2": (*TRAINED, "heldout"),
    "figure6": (*PROBED, "ood"),
    "figure7": (*TRAINED, "attended"),
    "figure8": (*TRAINED, "attended"),
    "figure9": (*TRAINED, "features", "probe", "clusters", "statistics"),
}
"""Sections of the configuration that a figure depends on; all others depend on PROBED."""


def figure(run: Run, name: str) -> str:
    """The chart ``name`` of ``reports/{run}``, with its description for those who cannot see it."""
    words = {"figure6": figure6.describe, "curves": curves.describe}.get(name, describe)
    table = curves.curves_table(run) if name == "curves" else figure_table(run, name)
    return html.chart(run, name, words(run, table))


def numbers(run: Run, name: str) -> str:
    """The paper's cells beside ours, then what the paper does not print."""
    table = figure_table(run, name)
    printed, own = table[table["panel"] != OURS], table[table["panel"] == OURS]
    frame = readable(run, printed).drop(columns=["metric", "record"])
    frame["verdict"] = [html.verdict(verdict) for verdict in printed["verdict"]]
    frame["trace"] = [trace(run, record) for record in printed["record"]]
    measured = what(run, printed["panel"].iloc[0], printed["metric"].iloc[0]).replace("imagenet", "ImageNet")
    caption = f"The paper's cells (%): {measured}" if name != "figure6" else "The paper's cells (%)"
    return html.table(frame, words=["model", "panel", "trace"], caption=caption) + own_table(run, own)


def own_table(run: Run, rows: pd.DataFrame) -> Markup:
    """Our own rows: models down, measures across, each value linked to its record."""
    if rows.empty:
        return Markup("")
    cells: dict[str, dict[str, Markup]] = {}
    for row in rows.to_dict("records"):
        value = html.link(row["record"], rounded(row["ours"]))
        shown = Markup("{} <small>{}</small>").format(value, interval(row["low"], row["high"]))
        column = in_words(row["metric"])
        cells.setdefault(label(run, row["model"]), {})[column] = shown if value != NOTHING else value
    frame = pd.DataFrame.from_dict(cells, orient="index").fillna(NOTHING)
    frame.insert(0, "model", frame.index)
    return html.table(frame, words=["model"], caption="Not in the paper (%)")


def in_words(metric: str) -> str:
    """`digits_mahalanobis_auroc` as people read it: `digits, Mahalanobis AUROC`."""
    for name, words in METRICS.items():
        if metric.endswith(f"_{name}"):
            return f"{subject(metric.removesuffix(f'_{name}'))}, {words}"
    return metric


def trace(run: Run, record: object) -> Markup:
    """Record and log of a row."""
    if not isinstance(record, str):
        return Markup(NOTHING)
    *_, model, name = record.split("/")
    return sources(run, model, name.removesuffix(".json"))


def differs(run: Run, name: str) -> str:
    """The settings behind a figure that are not as in ``config/paper.yaml``."""
    frame = differences(run)
    frame = frame[frame["key"].str.split(".").str[0].isin(SETTINGS.get(name, PROBED))]
    if frame.empty:
        return html.note("Every setting behind this figure is the paper's.")
    return html.details(
        f"{len(frame)} settings behind this figure that are not the paper's",
        html.table(frame, words=frame.columns),
    )


def making(run: Run, name: str) -> str:
    """The commands that make a figure: with all that it needs, and from the records alone."""
    return html.terminal(
        "# with all that it needs",
        f"snakemake {name} --config run={run.name}",
        "# from the records that are there",
        f"m3ae figure {name} --run {run.name}",
    )


def cell_commands(run: Run, name: str) -> str:
    """For each model of a figure, what measures its number again, and what tells where it comes from."""
    table = figure_table(run, name)
    stage, _ = first_subject(run, name, table["metric"].iloc[0])
    models = {model: label(run, model) for model in dict.fromkeys(table["model"]) if model in run.models}
    cells: dict[str, list[str]] = {model: [] for model in models}
    for cell in figure_cells(run, name):
        if cell.model in models and cell.stage == stage:
            cells[cell.model].append(cell.name)
    return html.details("One number at a time", commands(run, models, stage, cells))
