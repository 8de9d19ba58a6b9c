"""Figure 4: linear accuracy against the length of training, and against the size of the model."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import printed_models, printed_setting
from m3ae.report import style, subjects
from m3ae.report.describe import describe
from m3ae.report.format import absent, percent, rounded
from m3ae.report.markdown import write_table
from m3ae.report.paper import method
from m3ae.report.tables import OURS, axis_cells, figure_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "figure4"
PANELS = {"epochs": "ViT-L, epochs of pre-training", "size": "50 epochs, size of the model"}
METHODS = ("MAE", "M3AE")
BAR = 0.38


def make_figure4(run: Run) -> None:
    """Write the table and the charts of Figure 4."""
    table = figure_table(run, NAME)
    alt = describe(run, table)
    write_table(run, NAME, table, alt)
    with style.theme():
        style.save(draw(run, table), run, NAME, alt)


def draw(run: Run, table: pd.DataFrame) -> "Figure":
    """Columns: epochs, size. On one scale with the paper, or ours above and the paper below."""
    comparable = run.settings.check.comparable
    figure = style.new_figure(run, height=3.8 if comparable else 6.2)
    grid = figure.subplots(1 if comparable else 2, 2, sharey="row", squeeze=False)
    for column, (panel, title) in enumerate(PANELS.items()):
        cells = axis_cells(run, table, NAME, panel).to_dict("records")
        for row, axes in enumerate(grid[:, column]):
            draw_bars(axes, run, panel, cells, ours=row == 0)
            if comparable:
                mark_paper(axes, run, panel, cells)
        grid[-1, column].set_xlabel(title)
    name_rows(run, grid)
    figure.legend(*legend(grid[0, 0]), loc="outside lower center", ncols=3, frameon=False)
    return figure


def name_rows(run: Run, grid: Any) -> None:
    """What the rows of panels measure."""
    grid[0, 0].set_ylabel(f"{subjects.task(run.tasks[0])} accuracy (%)")
    if len(grid) > 1:
        grid[0, 0].set_title("This run", loc="left", fontweight="bold")
        grid[1, 0].set_title("The paper (v1)", loc="left", color=style.GREY)
        grid[1, 0].set_ylabel("ImageNet accuracy (%)")


def place(run: Run, panel: str, cell: dict[Any, Any], names: list[str]) -> tuple[str, float]:
    """The method of a cell, and where its bar stands."""
    kind = method(run, cell["model"])
    return kind, names.index(group(run, panel, cell["model"])) + (METHODS.index(kind) - 0.5) * BAR


def groups(run: Run, panel: str, cells: list[dict[Any, Any]]) -> list[str]:
    """The names under all pairs of bars: lengths by number, sizes as the table has them."""
    names = list(dict.fromkeys(group(run, panel, cell["model"]) for cell in cells))
    return sorted(names, key=float) if panel == "epochs" else names


def group(run: Run, panel: str, model: str) -> str:
    """The name under a pair of bars: epochs as the paper counts them, or the size."""
    if model in printed_models(NAME, panel):
        stated = printed_setting(model, panel)
        return f"ViT-{stated}" if panel == "size" else stated
    row = run.model(model)
    return f"ViT-{row.size.upper()}" if panel == "size" else f"{row.epochs * stretch(run):g}"


def stretch(run: Run) -> float:
    """The paper's epochs for one of this run, where it trains in the paper's proportions; else 1."""
    models = run.settings.models
    printed = [name for name in printed_models(NAME, "epochs") if name in models and models[name].epochs]
    found = {float(printed_setting(name, "epochs")) / models[name].epochs for name in printed}
    return found.pop() if len(found) == 1 else 1.0


def draw_bars(axes: "Axes", run: Run, panel: str, cells: list[dict[Any, Any]], *, ours: bool) -> None:
    """A bar for each cell, ours with its interval; "-" where nothing was run."""
    names = groups(run, panel, cells)
    for cell in cells:
        kind, x = place(run, panel, cell, names)
        value, colour = cell["ours" if ours else "paper_v1"], style.COLOURS[kind]
        if absent(value) and not ours and cell["panel"] == OURS:
            continue  # the paper has no such model
        if absent(value):
            dash: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 18}
            axes.annotate("-", (x, 0), (0, 3), color=style.GREY, **dash)
            continue
        look: dict[str, Any] = {"color": colour} if ours else {"facecolor": "white", "edgecolor": colour}
        axes.bar(x, value, BAR * 0.92, linewidth=1.4, **look)
        low, high = (value, value) if not ours or absent(cell["low"]) else (cell["low"], cell["high"])
        if ours:
            axes.errorbar(x, value, [[value - low], [high - value]], color="black", linewidth=1.2, capsize=3)
        text = rounded(value) if ours else percent(value)
        axes.annotate(text, (x, high), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)  # where bars are missing too
    axes.margins(y=0.15)


def mark_paper(axes: "Axes", run: Run, panel: str, cells: list[dict[Any, Any]]) -> None:
    """The paper's values as hollow marks over our bars."""
    names = groups(run, panel, cells)
    for cell in cells:
        kind, x = place(run, panel, cell, names)
        look: dict[str, Any] = {"color": style.COLOURS[kind], "marker": style.MARKERS[kind]}
        axes.plot(x, cell["paper_v1"], markersize=7, markerfacecolor="white", linestyle="", **look)


def legend(axes: "Axes") -> tuple[list[Any], list[str]]:
    """A patch for each method."""
    from matplotlib.patches import Patch

    return [Patch(color=style.COLOURS[name]) for name in METHODS], list(METHODS)
