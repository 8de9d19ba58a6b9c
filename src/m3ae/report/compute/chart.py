"""Wall time by stage, stacked: a bar for each model in its method's colour, lighter from stage to stage."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.report import style
from m3ae.report.compute.stages import PRETRAIN, group_names, group_of
from m3ae.report.compute.words import HOUR, MINUTE, duration
from m3ae.report.paper import label, method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = 0.34
"""Inches of a bar."""
LIGHTER = (0.0, 0.35, 0.62, 0.84)
"""How far each group's colour is from the method's towards white."""
HATCHES = ("", "", "//", "\\\\")  # lines: an SVG spells out every dot


def draw(run: Run, table: pd.DataFrame) -> "Figure":
    """The bars, the first model on top; "*" where a training's time is of its last part alone."""
    models = list(table["model"].unique())
    figure = style.new_figure(run, height=1.6 + BAR * max(3, len(models)))
    axes = figure.subplots()
    if not models:
        style.say_nothing(axes)
        return figure
    times = times_of(table)
    unit, seconds = unit_of(times.sum(axis=1).max())
    draw_bars(axes, run, times / seconds)
    partly = set(table.loc[(table["stage"] == PRETRAIN) & (table["covered"].astype(float) < 1), "model"])
    names = [label(run, model) + ("*" if model in partly else "") for model in models]
    axes.set_yticks(range(len(models)), names)
    axes.set_ylim(len(models) - 0.4, -0.6)
    note = "\n* gone on after a kill: the time before is in no record" if partly else ""
    axes.set_xlabel(f"wall time ({unit}), one stage after the other{note}")
    add_legend(figure)
    return figure


def times_of(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds: models down in the table's order, groups of stages across."""
    grouped = table.assign(group=table["stage"].map(group_of))
    times = grouped.pivot_table(index="model", columns="group", values="wall_s", aggfunc="sum", sort=False)
    return times.reindex(index=table["model"].unique(), columns=group_names()).fillna(0.0)


def unit_of(largest_s: float) -> tuple[str, float]:
    """The unit of the axis and its seconds."""
    if largest_s >= 2 * HOUR:
        return "hours", HOUR
    return ("minutes", MINUTE) if largest_s >= 2 * MINUTE else ("seconds", 1)


def draw_bars(axes: "Axes", run: Run, times: pd.DataFrame) -> None:
    """Each group begins where the one before ends."""
    from matplotlib.colors import to_rgb

    for place, (model, row) in enumerate(times.iterrows()):
        colour, left = to_rgb(style.COLOURS[method(run, str(model))]), 0.0
        for number, value in enumerate(row):
            look: dict[str, Any] = {"color": lighter(colour, LIGHTER[number]), "hatch": HATCHES[number]}
            axes.barh(place, value, left=left, height=0.72, edgecolor=colour, linewidth=0.6, **look)
            left += value


def lighter(colour: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    """A colour, ``share`` of the way to white."""
    red, green, blue = (part + share * (1 - part) for part in colour)
    return red, green, blue


def add_legend(figure: "Figure") -> None:
    """The groups, in grey: colours are the methods'."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    grey = to_rgb(style.GREY)
    handles = [
        Patch(facecolor=lighter(grey, LIGHTER[number]), edgecolor=grey, hatch=HATCHES[number], label=group)
        for number, group in enumerate(group_names())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=11)


def describe(run: Run, table: pd.DataFrame) -> str:
    """The chart in words, for those who cannot see it."""
    times = times_of(table).sum(axis=1)
    parts = [f"{label(run, str(model))} {duration(seconds)}" for model, seconds in times.items()]
    return f"Wall time of all stages by model: {'; '.join(parts) or 'nothing was run'}."
