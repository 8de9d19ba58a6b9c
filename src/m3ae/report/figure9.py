"""Figure 9: how classes lie in the features of MAE and M3AE, as a map and in numbers, from records alone."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval, interval_of_difference
from m3ae.evaluate.clusters import map_of, spread_of_halves
from m3ae.files import write_text
from m3ae.records import Metric, Record
from m3ae.report import html, style
from m3ae.report.cells import TABLES
from m3ae.report.format import NOTHING, interval, rounded, signed
from m3ae.report.intervals import EARLIER, twice_as_wide
from m3ae.report.paper import label
from m3ae.report.results import find_record, record_path
from m3ae.report.trace import commands, sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "figure9"
COLUMNS = ["model", "metric", "ours", "low", "high", "n", "record"]
HALVES = "halves"
ITEMS = {"knn_accuracy": "correct", "silhouette": HALVES}
"""What the difference of two models is drawn from."""
NAMES = {"knn_accuracy": "nearest neighbours (%)"}
DIGITS = {"knn_accuracy": 1, "silhouette": 3}
INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
NAMED = {
    "red": "#DE1C24",
    "green": "#2EB048",
    "blue": "#1848E0",
    "yellow": "#FCD614",
    "purple": "#A442C8",
    "white": "#FFFFFF",
    "black": "#0E0E0E",
}
"""A class that is a colour is drawn in it: "red" in blue ink would be misread."""
SHAPES = ("o", "^", "s", "D", "v", "P", "X")


def make_figure9(run: Run) -> None:
    """Write ``figure9.csv``, ``.md``, ``.svg`` and ``.png``."""
    table, alt = clusters_table(run), describe(run)
    folder = run.paths.reports
    write_text(folder / f"{NAME}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{NAME}.md", markdown(run, table, alt))
    with style.theme():
        style.save(draw(run), run, NAME, alt)


def found_records(run: Run) -> dict[str, Record]:
    """The records that there are: MAE's, then M3AE's."""
    found = {model: find_record(run, model, "clusters") for model in run.clustered}
    return {model: record for model, record in found.items() if record}


def clusters_table(run: Run) -> pd.DataFrame:
    """A row for each model and metric, then M3AE minus MAE over the same images."""
    records, rows = found_records(run), []
    for model, record in records.items():
        path = str(record_path(run, model, "clusters"))
        for metric, found in record.metrics.items():
            cells = [model, metric, found.value, found.low, found.high, found.n, path]
            rows.append(dict(zip(COLUMNS, cells, strict=True)))
    if len(records) == 2:
        rows += differences(run, *records.values())
    return pd.DataFrame(rows, columns=COLUMNS).round(4)


def differences(run: Run, mae: Record, m3ae: Record) -> list[dict[str, object]]:
    """The paired differences, which have no record of their own."""
    rows = []
    for metric, items in ITEMS.items():
        better, worse = (record.metrics[metric] for record in (m3ae, mae))
        value, low, high = paired(run, better, worse, items)
        ends = {"ours": value, "low": low, "high": high}
        rows.append({"model": "M3AE - MAE", "metric": metric, **ends, "n": better.n})
    return rows


def paired(run: Run, better: Metric, worse: Metric, items: str) -> Interval:
    """The difference of two models over the same images, or the same halves of them."""
    statistics = run.settings.statistics
    drawn = (statistics.draws, statistics.confidence, run.settings.seed)
    if items == HALVES and not better.items.keys() & worse.items.keys() >= {HALVES}:
        a, b = (one.items[EARLIER].unpack() for one in (better, worse))
        found = interval_of_difference(a, b, *drawn)
        return Interval(found.value, *twice_as_wide(*found))
    a, b = (one.items[items].unpack() for one in (better, worse))
    if items == HALVES:
        return spread_of_halves(better.value - worse.value, a - b, statistics.confidence)
    return interval_of_difference(a, b, *drawn).times(100)


def markdown(run: Run, table: pd.DataFrame, alt: str) -> str:
    """The banner, what is shown, the chart, the numbers."""
    banner = f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    settings, statistics = run.settings.clusters, run.settings.statistics
    share = f"{statistics.confidence:.0%}".replace("%", " %")
    cells = readable(run, table)
    numbers = (
        cells.to_markdown(index=False, disable_numparse=True) if len(cells) else "Nothing of it was run: -"
    )
    return (
        f"{banner}## Figure 9\n\n{run.settings.title} (`{run.name}`). Up to {settings.per_class} test images "
        f"of each of {len(settings.classes)} classes of the task {settings.task}. Accuracy (%): the "
        f"{settings.neighbours} nearest other images vote. Distances are Euclidean, of the features and not "
        f"of the map. In brackets: {share} intervals over images, by bootstrap, of the silhouette "
        f"{how(run)}; the difference is paired. The paper shows the map alone."
        f"\n\n![{alt}]({NAME}.svg)\n\n{numbers}\n"
    )


def how(run: Run) -> str:
    """How intervals of silhouettes come about."""
    metrics = [record.metrics["silhouette"].items for record in found_records(run).values()]
    is_earlier = any(HALVES not in one for one in metrics)
    return "twice as wide, which it is too narrow by" if is_earlier else "from random halves"


def readable(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table in words: names, values with their intervals, the number of images."""
    return pd.DataFrame(
        {
            "model": [name_of(run, model) for model in table["model"]],
            "metric": [NAMES.get(metric, metric) for metric in table["metric"]],
            "value": [in_words(*row) for row in table[["model", "metric", "ours", "low", "high"]].to_numpy()],
            "images": table["n"],
        }
    )


def name_of(run: Run, model: str) -> str:
    """A model as the paper prints it; a difference as it is."""
    return label(run, model) if model in run.models else model


def in_words(model: str, metric: str, value: float, low: float, high: float) -> str:
    """`45.0 [41.2, 49.1]`, a difference with its sign."""
    digits = DIGITS[metric]
    shown = signed(value, digits) if " - " in model else rounded(value, digits)
    return f"{shown} {interval(low, high, digits)}"


def draw(run: Run) -> "Figure":
    """A map for each model, the same colour and shape for a class in both, a legend below."""
    records = found_records(run)
    figure = style.new_figure(run, height=4.9)
    figure.set_layout_engine("constrained", h_pad=0.12)  # inches: the banner ends above the names
    panels = figure.subplots(1, 2)
    for axes, model in zip(panels, [*run.clustered, "", ""][:2], strict=True):
        axes.set_title(name_of(run, model) or NOTHING)
        if model in records:
            draw_map(axes, records[model])
        else:
            style.say_nothing(axes)
    handles = [axes.get_legend_handles_labels() for axes in panels if axes.collections]
    if handles:
        look = {"fontsize": 11, "markerscale": 1.5, "handletextpad": 0.1, "columnspacing": 1.0}
        figure.legend(*handles[0], loc="outside lower center", ncols=5, frameon=False, **look)
    return figure


def draw_map(axes: "Axes", record: Record) -> None:
    """The points of one model; the axes of t-SNE have no unit."""
    points = map_of(record)
    for number, name in enumerate(record.details["classes"]):
        mine = points.classes == number
        ink = NAMED.get(name, INKS[number % len(INKS)])
        shape = SHAPES[(number + 2 * (number // len(INKS))) % len(SHAPES)]  # never a colour and shape twice
        axes.scatter(points.x[mine], points.y[mine], s=16, color=ink, marker=shape, label=name, alpha=0.85,
                     linewidths=0.4, edgecolors=style.GREY)  # fmt: skip
    reach = 1.05 * float(np.abs([points.x, points.y]).max())
    axes.set(xticks=[], yticks=[], xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    accuracy, silhouette = (record.metrics[name] for name in ITEMS)
    axes.set_xlabel(
        f"neighbours right: {rounded(accuracy.value)} %\nsilhouette: {rounded(silhouette.value, 3)}"
    )


def describe(run: Run) -> str:
    """The chart in words, for those who cannot see it."""
    told = [
        f"{label(run, model)}: nearest neighbours {rounded(record.metrics['knn_accuracy'].value)} % right, "
        f"silhouette {rounded(record.metrics['silhouette'].value, 3)}"
        for model, record in found_records(run).items()
    ]
    num = len(run.settings.clusters.classes)
    return f"t-SNE maps of the features of {num} classes; {'; '.join(told) or 'nothing was run'}."


def chart(run: Run) -> str:
    """The chart in the page, with its text alternative."""
    return html.chart(run, NAME, describe(run))


def numbers(run: Run) -> str:
    """Every number with its record; says so where nothing was run."""
    table = clusters_table(run)
    if table.empty:
        return html.note(f"- (not measured yet: snakemake {NAME} --config run={run.name})")
    frame = readable(run, table)
    frame["trace"] = [
        trace(run, model, path) for model, path in zip(table["model"], table["record"], strict=True)
    ]
    return html.table(frame, words=["model", "metric", "trace"])


def trace(run: Run, model: str, path: object) -> Markup:
    """Record and log of a row; a difference has none of its own."""
    return sources(run, model, "clusters") if isinstance(path, str) else Markup(NOTHING)


def cell_commands(run: Run) -> str:
    """For both models, what measures their numbers again, and what tells where they come from."""
    cells: dict[str, list[str]] = {}
    for cell in TABLES[NAME](run):
        cells.setdefault(cell.model, []).append(cell.name)
    models = {model: label(run, model) for model in cells}
    return html.details("One number at a time", commands(run, models, "clusters", cells))
