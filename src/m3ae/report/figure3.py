"""Figure 3: linear accuracy against the share of images that keep their caption."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from m3ae.config import Run
from m3ae.report import style
from m3ae.report.describe import describe
from m3ae.report.format import absent, percent, rounded
from m3ae.report.markdown import write_table
from m3ae.report.paper import method
from m3ae.report.tables import OURS, figure_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = [0.0, 0.1, 0.2, 0.3, 1.0]
BESIDE = {"CLIP": 0.03, "Supervised": -0.03}
"""Where two methods stand at one share: intervals must not cover each other."""
NAME = "figure3"
ABOVE: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "bottom",
    "color": style.GREY,
    "fontsize": 10,
}
DASH = {**ABOVE, "fontsize": 18}
CLEAR = 12  # pixels between a name and another method's point


def make_figure3(run: Run) -> None:
    """Write the table and the chart of Figure 3."""
    table = figure_table(run, NAME)
    alt = describe(run, table)
    write_table(run, NAME, table, alt)
    with style.theme():
        figure = draw(run, points(run, table), untrained_accuracy(run, table))
        style.save(figure, run, NAME, alt)


def points(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """One row per printed model: method, x (share of pairs), paper (v1), later (v3), ours, low, high."""
    cells = table[table["panel"] != OURS].drop_duplicates("model")
    methods = [method(run, model) for model in cells["model"]]
    numbers = cells[["paper_v1", "paper_v3", "ours", "low", "high"]].astype(float)
    numbers = numbers.rename(columns={"paper_v1": "paper", "paper_v3": "later"})
    shares = [paired_share(run, model) for model in cells["model"]]
    return numbers.assign(method=methods, x=shares).sort_values("x", kind="stable")


def paired_share(run: Run, model: str) -> float:
    """Where the paper puts a model: CLIP needs all captions, MAE and supervised training none."""
    name = method(run, model)
    return run.model(model).paired_share if name == "M3AE" else float(name == "CLIP")


def untrained_accuracy(run: Run, table: pd.DataFrame) -> float | None:
    """Accuracy of the untrained encoder on the first task, if it was measured."""
    rows = table[(table["panel"] == OURS) & (table["metric"] == f"{run.tasks[0]}_accuracy")]
    values = [row["ours"] for row in rows.to_dict("records") if method(run, row["model"]) == "untrained"]
    return next((value for value in values if not absent(value)), None)


def draw(run: Run, cells: pd.DataFrame, untrained: float | None) -> "Figure":
    """Ours filled, the paper's hollow: on one scale only if the two measure the same."""
    figure = style.new_figure(run, height=4.0)
    ours, paper = (
        [figure.subplots()] * 2
        if run.settings.check.comparable
        else figure.subplots(1, 2, width_ratios=[5, 4])
    )
    shared = paper is ours
    measured = set(cells.dropna(subset="ours")["method"])
    draw_paper(paper, cells, unnamed=measured if shared else set())
    draw_ours(ours, cells, with_paper=shared)
    if untrained is not None:
        ours.axhline(untrained, color=style.COLOURS["untrained"], linewidth=0.8)
        ours.annotate(f"untrained {untrained:.1f}", (0.5, untrained), (0, 3), **ABOVE)
    if not measured and untrained is None and not shared:
        ours.set_yticks([])  # nothing but "-"
    ours.set_ylabel(f"{run.tasks[0]} accuracy, linear probe (%)")
    if not shared:
        ours.set_title("This run", loc="left", fontweight="bold")
        paper.set_title("The paper: ImageNet", loc="left", color=style.GREY)
    lay_out(figure)
    return figure


def draw_ours(axes: "Axes", cells: pd.DataFrame, *, with_paper: bool) -> None:
    """Filled points with intervals; "-" on the axis where nothing was run.

    On a shared axis, a point's name tells the paper's value, too (``with_paper``).
    """
    measured = cells.dropna(subset="ours")
    for name, rows in by_method(measured):
        x, ours, low, high = rows[["x", "ours", "low", "high"]].astype(float).to_numpy().T
        look: dict[str, Any] = {"color": style.COLOURS[name], "marker": style.MARKERS[name], "markersize": 8}
        axes.errorbar(
            x + BESIDE.get(name, 0.0), ours, yerr=[ours - low, high - ours], linewidth=1.8, capsize=4, **look
        )
        paper = f", paper {percent(rows['paper'].iloc[-1])}" if with_paper else ""
        name_points(axes, rows, "ours", f"{name} {rounded(ours[-1])}{paper}", look["color"])
    for x in sorted(set(cells["x"]) - set(measured["x"])):
        axes.annotate("-", (x, 0), (0, 4), xycoords=axes.get_xaxis_transform(), **DASH)


def draw_paper(axes: "Axes", cells: pd.DataFrame, *, unnamed: set[str]) -> None:
    """Hollow points of the first version, M3AE's joined by a dashed line; dots where a later one differs."""
    for name, rows in by_method(cells):
        look: dict[str, Any] = {"color": style.COLOURS[name], "marker": style.MARKERS[name], "markersize": 7}
        axes.plot(rows["x"], rows["paper"], linestyle="--", linewidth=1.2, markerfacecolor="white", **look)
        moved = rows[(rows["later"] - rows["paper"]).abs() > 0]
        axes.plot(moved["x"], moved["later"], ".", color=style.COLOURS[name], markersize=6)
        if name not in unnamed:
            name_points(axes, rows, "paper", f"{name} {printed(rows.iloc[-1])}", look["color"])


def printed(row: pd.Series) -> str:
    """The first version's number, and the later one's where it differs."""
    later = "" if row["later"] == row["paper"] else f" (v3 {percent(row['later'])})"
    return f"{percent(row['paper'])}{later}"


def by_method(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The points of one method after another."""
    for name, rows in cells.groupby("method", sort=False):
        yield str(name), rows


def name_points(axes: "Axes", rows: pd.DataFrame, column: str, text: str, colour: str) -> None:
    """Write ``text`` beside a method's outermost point: inwards, above a line that ends there."""
    from matplotlib.patheffects import withStroke

    last = rows.iloc[-1]
    right = last["x"] > 0.5
    axes.annotate(
        text,
        (last["x"], last[column]),
        (-7, 10 if len(rows) > 1 else 0) if right else (9, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontsize=10,
        color=colour,
        path_effects=[withStroke(linewidth=3, foreground="white")],  # legible over a line or an interval
    )


def lay_out(figure: "Figure") -> None:
    """The paper's horizontal axis, in every panel."""
    figure.supxlabel("images that keep their caption (%)", fontsize=12)
    for axes in figure.axes:
        axes.set(xlim=(-0.08, 1.08))
        axes.set_xticks(SHARES, [f"{share * 100:.0f}" for share in SHARES], fontsize=10)
        axes.margins(y=0.15)
    figure.draw_without_rendering()  # only now is it known where the points lie
    for axes in figure.axes:
        clear_points(axes)
        for side in ("left", "right"):
            part([text for text in axes.texts if text.get_horizontalalignment() == side])


def clear_points(axes: "Axes") -> None:
    """Move names off the points of other methods: below one that lies higher, above one that lies lower."""
    marked = [line for line in axes.lines if line.get_marker() in style.MARKERS.values()]
    points = [axes.transData.transform(xy) for line in marked for xy in np.asarray(line.get_xydata())]
    names: list[Any] = list(axes.texts)
    for text in names:
        box = text.get_window_extent().padded(CLEAR)
        for px, py in points:
            if box.x0 < px < box.x1 and box.y0 < py < box.y1:
                shift = py - box.y1 if py > (box.y0 + box.y1) / 2 else py - box.y0
                x, y = text.xyann
                text.xyann = (x, y + shift * 72 / text.figure.dpi)
                break


def part(names: list[Any]) -> None:
    """Move names that would cover each other apart, upwards (points)."""
    taken = -math.inf
    for text in sorted(names, key=lambda text: text.get_window_extent().y0):
        height = text.get_window_extent().height
        shift = max(0.0, taken - text.get_window_extent().y0)
        x, y = text.xyann
        text.xyann = (x, y + shift * 72 / text.figure.dpi)
        taken = text.get_window_extent().y0 + shift + height
