"""Figure 3: linear accuracy against the share of images that keep their caption."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import printed_paired_share
from m3ae.report import style, subjects
from m3ae.report.describe import describe
from m3ae.report.format import absent, percent, rounded
from m3ae.report.markdown import write_table
from m3ae.report.names import place_names
from m3ae.report.paper import method
from m3ae.report.tables import OURS, axis_cells, figure_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = [0.0, 0.1, 0.2, 0.3, 1.0]
BESIDE = {"CLIP": 0.03, "Supervised": -0.03}
"""Where two methods stand at one share: intervals must not cover each other."""
NAME = "figure3"
DASH: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "bottom",
    "color": style.GREY,
    "fontsize": 18,
}


def make_figure3(run: Run) -> None:
    """Write the table and the chart of Figure 3."""
    table = figure_table(run, NAME)
    alt = describe(run, table)
    write_table(run, NAME, table, alt)
    with style.theme():
        figure = draw(run, points(run, table), untrained_accuracy(run, table))
        style.save(figure, run, NAME, alt)


def points(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """One row per model on the axis: method, x (share of pairs), printed_x (the paper's share, nan for rows
    that it does not have), paper (v1), later (v3), ours, low, high.

    ``again`` is the later version's number where it prints the model a second time.
    """
    cells = axis_cells(run, table, NAME).drop_duplicates("model")
    again = table[table["panel"] != OURS].groupby("model")["paper_v3"].last().astype(float)
    numbers = cells[["paper_v1", "paper_v3", "ours", "low", "high"]].astype(float)
    numbers = numbers.rename(columns={"paper_v1": "paper", "paper_v3": "later"})
    numbers["again"] = cells["model"].map(again)
    numbers["method"] = [method(run, model) for model in cells["model"]]
    reads = numbers["method"].isin(["M3AE", "CLIP"])  # the others stand where no image has a caption
    ours = cells["model"].map(lambda model: run.model(model).paired_share)
    printed = cells["model"].map(printed_paired_share)
    numbers["x"] = ours.where(reads, 0.0)
    numbers["printed_x"] = printed.where(reads, 0.0).where(cells["panel"] != OURS)
    return numbers.sort_values("x", kind="stable")


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
    names = draw_paper(paper, cells, unnamed=measured if shared else set())
    if untrained is not None:
        ours.axhline(untrained, color=style.COLOURS["untrained"], linewidth=0.8)
        names.append(annotate(ours, f"untrained {rounded(untrained)}", (0.45, untrained), style.GREY))
    names += draw_ours(ours, cells, with_paper=shared)
    if not measured and untrained is None and not shared:
        ours.set_yticks([])  # nothing but "-"
    ours.set_ylabel(f"{subjects.task(run.tasks[0])} accuracy, linear probe (%)")
    if not shared:
        ours.set_title("This run", loc="left", fontweight="bold")
        paper.set_title("The paper (v1): ImageNet", loc="left", color=style.GREY)
    lay_out(figure, names, sorted({*SHARES, *cells["x"]}))
    return figure


def draw_ours(axes: "Axes", cells: pd.DataFrame, *, with_paper: bool) -> list[Any]:
    """Filled points with intervals; "-" on the axis where nothing was run.

    On a shared axis, a point's name tells the paper's value, too (``with_paper``). Returns the names.
    """
    names = []
    measured = cells.dropna(subset="ours")
    for name, rows in by_method(measured):
        x, ours, low, high = rows[["x", "ours", "low", "high"]].astype(float).to_numpy().T
        look: dict[str, Any] = {"color": style.COLOURS[name], "marker": style.MARKERS[name], "markersize": 8}
        axes.errorbar(
            x + BESIDE.get(name, 0.0), ours, yerr=[ours - low, high - ours], linewidth=1.8, capsize=4, **look
        )
        printed = rows["paper"].iloc[-1]
        paper = f", paper {percent(printed)}" if with_paper and not absent(printed) else ""
        names.append(name_point(axes, rows, "ours", f"{name} {rounded(ours[-1])}{paper}", look["color"]))
    for x in sorted(set(cells["x"]) - set(measured["x"])):
        axes.annotate("-", (x, 0), (0, 4), xycoords=axes.get_xaxis_transform(), **DASH)
    return names


def draw_paper(axes: "Axes", cells: pd.DataFrame, *, unnamed: set[str]) -> list[Any]:
    """Hollow points of the first version, M3AE's joined by a dashed line; dots where a later one differs.

    Returns the names.
    """
    names = []
    known = cells.dropna(subset="printed_x").sort_values("printed_x", kind="stable")
    for name, rows in by_method(known.assign(x=known["printed_x"])):
        look: dict[str, Any] = {"color": style.COLOURS[name], "marker": style.MARKERS[name], "markersize": 7}
        axes.plot(rows["x"], rows["paper"], linestyle="--", linewidth=1.2, markerfacecolor="white", **look)
        for column in ("later", "again"):
            moved = rows[(rows[column] - rows["paper"]).abs() > 0]
            axes.plot(moved["x"], moved[column], ".", color=style.COLOURS[name], markersize=6)
        if name not in unnamed:
            names.append(name_point(axes, rows, "paper", f"{name} {printed(rows.iloc[-1])}", look["color"]))
    return names


def printed(row: pd.Series) -> str:
    """The first version's number, and the later one's where they differ."""
    later = [percent(value) for value in dict.fromkeys(row[["later", "again"]]) if value != row["paper"]]
    return f"{percent(row['paper'])} (v3 {', '.join(later)})" if later else percent(row["paper"])


def by_method(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The points of one method after another."""
    for name, rows in cells.groupby("method", sort=False):
        yield str(name), rows


def name_point(axes: "Axes", rows: pd.DataFrame, column: str, text: str, colour: str) -> Any:
    """Write ``text`` beside a method's outermost point, inwards; `place_names` finds the best place there."""
    last = rows.iloc[-1]
    return annotate(axes, text, (last["x"], last[column]), colour)


def annotate(axes: "Axes", text: str, point: tuple[float, float], colour: str) -> Any:
    """``text`` beside a point, on its inner side: legible over a line or an interval."""
    from matplotlib.patheffects import withStroke

    return axes.annotate(
        text,
        point,
        (0, 0),
        textcoords="offset points",
        ha="right" if point[0] > 0.5 else "left",
        va="center",
        fontsize=10,
        color=colour,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def lay_out(figure: "Figure", names: list[Any], shares: list[float]) -> None:
    """The paper's horizontal axis in every panel, and each name where it covers nothing."""
    figure.supxlabel("images that keep their caption (%)", fontsize=12)
    for axes in figure.axes:
        axes.set(xlim=(-0.08, 1.08))
        axes.set_xticks(shares, [f"{100 * share:g}" for share in shares], fontsize=10)
        axes.margins(y=0.15)
    figure.draw_without_rendering()  # only now is it known where the points lie
    for axes in figure.axes:
        place_names([name for name in names if name.axes is axes])
