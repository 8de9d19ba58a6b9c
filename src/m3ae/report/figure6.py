"""Figure 6: histograms of out-of-distribution scores."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import baselines, printed_models
from m3ae.records import Metric
from m3ae.report import style
from m3ae.report.format import absent, interval, percent, rounded
from m3ae.report.markdown import write_table
from m3ae.report.paper import label
from m3ae.report.seeds import records_by_seed
from m3ae.report.subjects import sides
from m3ae.report.tables import OURS, figure_table, first_subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "figure6"
TAIL = 0.01
"""Share of the scores at either end that is not drawn."""
SCORES = {
    "mahalanobis_auroc": "Mahalanobis score (minus squared distance)",
    "msp_auroc": "maximum softmax probability",
}


def make_figure6(run: Run) -> None:
    """Write the table and the chart of Figure 6."""
    table = figure_table(run, NAME)
    alt = describe(run, table)
    write_table(run, NAME, table, alt)
    with style.theme():
        style.save(draw(run, shown(run, table)), run, NAME, alt)


def shown(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The printed cells, and the same of the baselines of Figure 3: one row per histogram."""
    printed, pair = table[table["panel"] != OURS], run.ood_pairs[0]
    panels = dict(zip(printed["metric"], printed["panel"], strict=True))
    beside = [row for row in baselines(run) if row in printed_models("figure3")]
    own = [
        row | {"metric": metric, "panel": panel}
        for metric, panel in panels.items()
        for row in table[table["metric"] == f"{pair}_{metric}"].to_dict("records")
        if row["model"] in beside
    ]
    return pd.concat([printed, pd.DataFrame(own, columns=table.columns).astype(printed.dtypes)])


def draw(run: Run, cells: pd.DataFrame) -> "Figure":
    """Columns MAE and M3AE, rows Mahalanobis and MSP, as printed; below them the baselines alike."""
    rows = len(cells) // 2
    figure = style.new_figure(run, height=3.1 * rows)
    grid = figure.subplots(rows, 2, squeeze=False)
    for axes, cell in zip(grid.flat, cells.to_dict("records"), strict=True):
        title = f"{label(run, cell['model'])} · {cell['panel']}{drawn(cell)}"
        axes.set_title(f"{title}\n{caption(cell)}", fontsize=11)
        axes.set_xlabel(SCORES[cell["metric"]], fontsize=10)
        metric = scores(run, cell["model"], cell["metric"])
        if metric is None:
            style.say_nothing(axes)
        else:
            draw_histogram(axes, metric, run.settings.ood.bins)
    for axes in grid[:, 0]:
        axes.set_ylabel("share of images (%)")
    add_legend(figure, run)
    return figure


def add_legend(figure: "Figure", run: Run) -> None:
    """Which colour is in, and which is out."""
    from matplotlib.patches import Patch

    inside, outside = sides(run.ood_pairs[0])
    names = {style.IN: f"in: {inside}", style.OUT: f"out: {outside}"}
    handles = [Patch(color=colour, alpha=0.5, label=text) for colour, text in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def drawn(cell: dict[Hashable, Any]) -> str:
    """Which seed the histogram is of, where the AUROC is of several."""
    first, *further = str(cell["seeds"]).split()[:2] or [""]
    return f" · drawn: seed {first}" if further else ""


def caption(cell: dict[Hashable, Any]) -> str:
    """AUROC with its interval, and of how many seeds it is; the paper's beneath."""
    seeds = str(cell["seeds"]).split()
    ours = f"AUROC {rounded(cell['ours'])} {interval(cell['low'], cell['high'])}".removesuffix(" -")
    several = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
    paper = "not in the paper" if absent(cell["paper_v1"]) else f"paper, CIFAR: {percent(cell['paper_v1'])}"
    return f"{ours}{several}\n{paper}"


def scores(run: Run, model: str, metric: str) -> Metric | None:
    """The scores behind a cell, of the first of its seeds that was run; None where none was."""
    records = records_by_seed(run, model, first_subject(run, NAME, metric)[0])
    return next((record.metrics.get(metric) for record in records.values()), None)


def histogram(metric: Metric, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Common edges (bins + 1) of the middle 98 % of all scores, and the shares (%) of "in" and "out" items.

    A few images far from all others would squeeze the rest into one bin: they count, but are not drawn.
    """
    inside, outside = metric.items["in"].unpack(), metric.items["out"].unpack()
    low, high = np.quantile(np.concatenate([inside, outside]), [TAIL, 1 - TAIL])
    edges = np.linspace(low, high, bins + 1)
    ours, others = (100 * np.histogram(one, edges)[0] / len(one) for one in (inside, outside))
    return edges, ours, others


def draw_histogram(axes: "Axes", metric: Metric, bins: int) -> None:
    """Both histograms on common bins, as shares: the two sets need not be equally large."""
    edges, *shares = histogram(metric, bins)
    for share, colour in zip(shares, (style.IN, style.OUT), strict=True):
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.4)
        axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.locator_params(nbins=5)


def describe(run: Run, table: pd.DataFrame) -> str:
    """The chart in words, for those who cannot see it."""
    values = []
    for cell in shown(run, table).to_dict("records"):
        paper = "" if absent(cell["paper_v1"]) else f" (paper {percent(cell['paper_v1'])})"
        numbers = f"{rounded(cell['ours'])}{paper}"
        values.append(f"{label(run, cell['model'])}, {cell['panel']}: {numbers}")
    inside, outside = sides(run.ood_pairs[0])
    return f"Histograms of scores, {inside} (in) against {outside} (out); AUROC in %: {'; '.join(values)}."
