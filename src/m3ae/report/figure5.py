"""Figure 5: linear accuracy against the share of words that is hidden."""

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import printed_text_mask_ratio
from m3ae.report import style, subjects
from m3ae.report.describe import describe
from m3ae.report.format import absent, percent, rounded
from m3ae.report.markdown import write_table
from m3ae.report.tables import OURS, axis_cells, figure_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "figure5"
VERSIONS = {"paper_v1": ("v1", "o", "--"), "paper_v3": ("v3, as a summary prints it", "D", ":")}
BESIDE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 10}
Point = tuple[float, dict[Any, Any]]
"""A cell, and where on the axis it stands."""


def make_figure5(run: Run) -> None:
    """Write the table and the chart of Figure 5."""
    table = figure_table(run, NAME)
    alt = describe(run, table)
    write_table(run, NAME, table, alt)
    with style.theme():
        style.save(draw(run, table), run, NAME, alt)


def draw(run: Run, table: pd.DataFrame) -> "Figure":
    """Ours filled with intervals, the paper's versions hollow: on one scale only if both measure the same."""
    figure = style.new_figure(run, height=4.0)
    comparable = run.settings.check.comparable
    ours, paper = [figure.subplots()] * 2 if comparable else figure.subplots(1, 2)
    cells = axis_cells(run, table, NAME).to_dict("records")
    printed = [(printed_text_mask_ratio(cell["model"]), cell) for cell in cells if cell["panel"] != OURS]
    made = sorted(((text_mask_ratio(run, cell["model"]), cell) for cell in cells), key=itemgetter(0))
    draw_paper(paper, printed)
    draw_ours(ours, made)
    ours.set_ylabel(f"{subjects.task(run.tasks[0])} accuracy, linear probe (%)")
    if not comparable:
        ours.set_title("This run", loc="left", fontweight="bold")
        paper.set_title("The paper: ImageNet", loc="left", color=style.GREY)
    for axes in {id(axes): axes for axes in (ours, paper)}.values():
        ratios = sorted({ratio for ratio, _ in printed + made})
        axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
        axes.set_xlim(0.05, 1)
        axes.margins(y=0.2)
    figure.supxlabel("text mask ratio (ViT-L, 50 epochs)", fontsize=12)
    return figure


def text_mask_ratio(run: Run, model: str) -> float:
    """Where a model of ours stands on the axis."""
    return run.settings_of(model).pretrain.text_mask_ratio


def draw_ours(axes: "Axes", cells: list[Point]) -> None:
    """Filled points with intervals; "-" on the axis where nothing was run."""
    measured = [(ratio, cell) for ratio, cell in cells if not absent(cell["ours"])]
    look: dict[str, Any] = {"color": style.COLOURS["M3AE"], "marker": style.MARKERS["M3AE"]}
    if measured:
        values = [(r, c["ours"], c["ours"] - c["low"], c["high"] - c["ours"]) for r, c in measured]
        x, y, below, above = (list(column) for column in zip(*values, strict=True))
        axes.errorbar(x, y, [below, above], markersize=8, linewidth=1.8, capsize=4, label="ours", **look)
        for ratio, cell in measured:
            axes.annotate(rounded(cell["ours"]), (ratio, cell["high"]), (0, 5), color=look["color"], **BESIDE)
    for ratio, cell in cells:
        if absent(cell["ours"]):
            dash = {**BESIDE, "fontsize": 18, "color": style.GREY}
            axes.annotate("-", (ratio, 0), (0, 4), xycoords=axes.get_xaxis_transform(), **dash)
    if not measured and not axes.lines:
        axes.set_yticks([])


def draw_paper(axes: "Axes", cells: list[Point]) -> None:
    """Hollow points of both versions."""
    from matplotlib.patheffects import withStroke

    for column, (name, marker, dashes) in VERSIONS.items():
        look: dict[str, Any] = {"color": style.COLOURS["M3AE"], "marker": marker, "linestyle": dashes}
        x, y = [ratio for ratio, _ in cells], [cell[column] for _, cell in cells]
        axes.plot(x, y, markersize=7, linewidth=1.2, markerfacecolor="white", label=name, **look)
    for ratio, cell in cells:
        values = sorted({cell[column] for column in VERSIONS})
        for value, offset in zip(values[::-1], (8, -16), strict=False):
            text, over = percent(value), [withStroke(linewidth=3, foreground="white")]
            axes.annotate(text, (ratio, value), (0, offset), color=style.GREY, path_effects=over, **BESIDE)
    axes.legend(frameon=False, loc="lower right", fontsize=10)
