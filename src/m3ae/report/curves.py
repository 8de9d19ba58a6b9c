"""Training curves: loss on hidden patches and words against samples seen."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import figure_rows
from m3ae.errors import UserError
from m3ae.files import write_text
from m3ae.report import style
from m3ae.report.format import rounded
from m3ae.report.paper import label, method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "curves"
LOSSES = {
    "image_loss": "image loss (hidden patches)",
    "text_loss": "text loss (hidden words; a sample without caption counts as 0)",
    "contrastive_loss": "contrastive loss (CLIP)",
    "classification_loss": "classification loss (supervised)",
}
COLUMNS = ["model", "samples", *LOSSES, "lr"]
SHOWN = ["image_loss", "text_loss"]
DASHES = ["-", "--", ":", "-."]


def make_curves(run: Run) -> None:
    """Write ``curves.csv`` (tidy), ``.svg`` and ``.png``, and each step log as a reference log."""
    table = curves_table(run)
    for model in run.models:
        if run.paths.step_log(model).is_file():
            write_text(run.paths.reference_log(model), run.paths.step_log(model).read_text())
    write_text(run.paths.reports / f"{NAME}.csv", table.to_csv(index=False, lineterminator="\n"))
    with style.theme():
        style.save(draw(run, table), run, NAME, describe(run, table))


def curves_table(run: Run) -> pd.DataFrame:
    """The logged steps of all models that were trained: columns model, samples, the losses, lr."""
    paths = {model: step_log(run, model) for model in run.models}
    # an untrained encoder's log is empty
    logs = [
        read_steps(path, model) for model, path in paths.items() if path.is_file() and path.stat().st_size
    ]
    return pd.concat(logs, ignore_index=True) if logs else pd.DataFrame(columns=COLUMNS)


def step_log(run: Run, model: str) -> Path:
    """A model's step log; in its place the reference log, which git has, where it was not brought."""
    path = run.paths.step_log(model)
    return path if path.is_file() else run.paths.reference_log(model)


def read_steps(path: Path, model: str) -> pd.DataFrame:
    """One model's step log. Raises UserError if it is not one JSON object per line."""
    try:
        steps = pd.read_json(path, lines=True, precise_float=True)
    except ValueError as error:
        raise UserError(f"{path}: not one JSON object per line ({error}); train {model} again") from None
    return steps.assign(model=model).reindex(columns=COLUMNS)


def draw(run: Run, table: pd.DataFrame) -> "Figure":
    """Image loss above, text loss below, on one axis of samples: the rows of Figure 3; the table has all."""
    figure = style.new_figure(run, height=5.4)
    for axes, loss in zip(figure.subplots(2, 1, sharex=True), SHOWN, strict=True):
        axes.set_title(LOSSES[loss], loc="left")
        rows = table.dropna(subset=loss)
        rows = rows[rows["model"].isin(figure_rows(run, "figure3"))]
        if rows.empty:
            style.say_nothing(axes)
            continue
        draw_loss(axes, run, rows, loss)
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("samples seen")
    axes.ticklabel_format(axis="x", style="plain")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def draw_loss(axes: "Axes", run: Run, table: pd.DataFrame, loss: str) -> None:
    """Each model's loss, a running mean over its logged values."""
    drawn: list[str] = []
    for model, rows in table.groupby("model", sort=False):
        name = method(run, str(model))
        colour, dashes = style.COLOURS[name], DASHES[drawn.count(name) % len(DASHES)]
        smooth = rows[loss].rolling(max(1, len(rows) // 50), center=True, min_periods=1).mean()
        axes.plot(rows["samples"], rows[loss], color=colour, alpha=0.2, linewidth=0.8)
        text = label(run, str(model))
        axes.plot(rows["samples"], smooth, color=colour, linestyle=dashes, label=text, linewidth=1.8)
        drawn.append(name)


def describe(run: Run, table: pd.DataFrame) -> str:
    """The chart in words, for those who cannot see it."""
    last = table.groupby("model", sort=False).last()
    parts = []
    for model, row in last.iterrows():
        losses = f"image {rounded(row['image_loss'], 3)}, text {rounded(row['text_loss'], 3)}"
        parts.append(f"{label(run, str(model))}: {losses}")
    return f"Training losses against samples seen; last logged: {'; '.join(parts) or 'nothing was run'}."
