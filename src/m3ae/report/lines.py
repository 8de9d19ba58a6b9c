"""Accuracy against the radius of an attack: a panel per attack, a line per model."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.report import style
from m3ae.report.dots import add_legend
from m3ae.report.measures import ATTACK, NORMS, attack
from m3ae.report.paper import method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = 255
"""Of a colour: attacks within L-infinity are told in them."""


def draw_lines(run: Run, table: pd.DataFrame, axis: str) -> "Figure":
    """The clean accuracy stands at radius 0 of every panel."""
    parts = table["metric"].str.extract(ATTACK)
    table = table.assign(attack=parts["attack"], norm=parts["norm"], radius=parts["radius"].astype(float))
    named = table.dropna(subset="attack")
    panels = list(dict.fromkeys(zip(named["attack"], named["norm"], strict=True)))
    columns = 2 if len(panels) == 4 else min(3, max(1, len(panels)))
    rows = -(-max(1, len(panels)) // columns)
    figure = style.new_figure(run, height=0.8 + 2.6 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(bool(not panels))
            if not panels:
                style.say_nothing(axes)
            continue
        name, norm = panels[place]
        attacked = table[(table["attack"] == name) & (table["norm"] == norm)]
        clean = table[table["metric"] == "clean"].assign(radius=0.0)
        unit = STEPS if norm == "linf" else 1
        draw_panel(axes, run, pd.concat([clean, attacked]), unit)
        axes.set_title(f"{attack(name)}\n{NORMS[norm]}", loc="left")
        axes.set_xlabel("radius" if unit == 1 else f"radius (1/{unit})")
    if panels:
        for axes in grid[:, 0]:
            axes.set_ylabel(axis)
        add_legend(figure, run, table)
    return figure


def draw_panel(axes: "Axes", run: Run, rows: pd.DataFrame, unit: int) -> None:
    """A line per model, with its interval as a band; radii in parts of ``unit``."""
    for model in dict.fromkeys(rows["model"]):
        own, kind = rows[rows["model"] == model].sort_values("radius"), method(run, model)
        look: dict[str, Any] = {"color": style.COLOURS[kind]}
        axes.plot(unit * own["radius"], own["ours"], marker=style.MARKERS[kind], markersize=4, **look)
        axes.fill_between(unit * own["radius"], own["low"], own["high"], alpha=0.15, linewidth=0, **look)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.locator_params(axis="x", nbins=3)
