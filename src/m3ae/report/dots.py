"""Dots with intervals: a metric per line, a colour and a mark per method."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.report import style
from m3ae.report.measures import in_words
from m3ae.report.paper import label, method
from m3ae.report.subjects import subject
from m3ae.report.targets import TARGETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.28
"""Inches of a line of dots."""


def draw_dots(run: Run, table: pd.DataFrame, axis: str) -> "Figure":
    """A panel for each of the table's, side by side in pairs, on one list of metrics."""
    panels = list(dict.fromkeys(table["panel"]))
    metrics = list(dict.fromkeys(table["metric"]))
    columns = min(2, max(1, len(panels)))
    rows = -(-max(1, len(panels)) // columns)
    figure = style.new_figure(run, height=0.9 + rows * (0.8 + LINE * max(4, len(metrics))), legend=True)
    grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(bool(not panels))
            if not panels:
                style.say_nothing(axes)
            continue
        draw_panel(axes, run, table[table["panel"] == panels[place]], metrics)
        axes.set_title("" if panels[place] in TARGETS else subject(panels[place]), loc="left")
        axes.set_xlabel(axis)
        axes.tick_params(labelbottom=True)  # the scale is shared; a tall chart is not seen at once
        if axis.startswith("AUROC"):
            axes.axvline(50, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)  # chance
    if panels:
        name_lines(grid, metrics)
        add_legend(figure, run, table, above=True)
    return figure


def draw_panel(axes: "Axes", run: Run, rows: pd.DataFrame, metrics: list[str]) -> None:
    """The dots of one panel; models of a line stand a little apart."""
    models = list(dict.fromkeys(rows["model"]))
    for place, model in enumerate(models):
        own, kind = rows[rows["model"] == model], method(run, model)
        y = [metrics.index(metric) + 0.7 * ((place + 0.5) / len(models) - 0.5) for metric in own["metric"]]
        ours, low, high = own[["ours", "low", "high"]].astype(float).to_numpy().T
        look: dict[str, Any] = {"color": style.COLOURS[kind], "marker": style.MARKERS[kind]}
        axes.errorbar(
            ours, y, xerr=[ours - low, high - ours], linestyle="", markersize=4.5, linewidth=1, **look
        )
    for line in range(1, len(metrics), 2):
        axes.axhspan(line - 0.5, line + 0.5, color="black", alpha=0.05, linewidth=0)


def name_lines(grid: Any, metrics: list[str]) -> None:
    """The names of the lines, the first on top."""
    names = [in_words(metric) for metric in metrics]
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), names, fontsize=9)
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)


def add_legend(figure: "Figure", run: Run, table: pd.DataFrame, *, above: bool = False) -> None:
    """Which mark is whose: ``above`` a chart that is higher than a window."""
    from matplotlib.lines import Line2D

    handles = []
    for model in dict.fromkeys(table["model"]):
        kind = method(run, model)
        mark: dict[str, Any] = {"color": style.COLOURS[kind], "marker": style.MARKERS[kind]}
        handles.append(Line2D([], [], linestyle="", label=label(run, model), **mark))
    look: dict[str, Any] = {"loc": "outside lower center"}
    if above:
        anchor = (0.5, style.below_banner(run, figure))
        look = {"loc": "upper center", "bbox_to_anchor": anchor, "borderpad": 0.1, "borderaxespad": 0.1}
    figure.legend(handles=handles, ncols=len(handles), frameon=False, **look)
