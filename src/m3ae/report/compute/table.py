"""The target `compute`: what was spent as CSV for programs, as Markdown and a chart for people."""

from typing import Any

import pandas as pd

from m3ae.config import Run
from m3ae.files import write_text
from m3ae.report import style
from m3ae.report.compute.chart import describe, draw
from m3ae.report.compute.forecast import forecast_table, forecast_words
from m3ae.report.compute.spent import spent_table
from m3ae.report.compute.words import duration, scaled, totals, unmeasured
from m3ae.report.format import NOTHING, absent
from m3ae.report.markdown import link
from m3ae.report.paper import label

NAME = "compute"


def make_compute(run: Run) -> None:
    """Write ``reports/{run}/compute.csv``, ``.md``, ``.svg`` and ``.png``."""
    table, folder = spent_table(run), run.paths.reports
    alt = describe(run, table)
    write_text(folder / f"{NAME}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{NAME}.md", markdown(run, table, alt))
    with style.theme():
        style.save(draw(run, table), run, NAME, alt)


def markdown(run: Run, table: pd.DataFrame, alt: str) -> str:
    """The banner, the chart, the sums, a row per stage, what was not measured, and the forecast."""
    banner = f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    rows = readable(run, table)
    rows["record"] = [link(path) for path in table["record"]]
    missing = "\n".join(f"* {line}" for line in unmeasured(run, table))
    return (
        f"{banner}## What it cost\n\n{run.settings.title} (`{run.name}`), from its records alone. "
        f"{totals(table)}\n\n![{alt}]({NAME}.svg)\n\n{plain(rows)}\n\n### Not measured\n\n{missing}\n\n"
        f"### Forecast of `paper`\n\n{forecast_words()}\n\n{plain(forecast_table())}\n"
    )


def plain(frame: pd.DataFrame) -> str:
    """A Markdown table of text; "-" if it has no row."""
    return frame.to_markdown(index=False, disable_numparse=True) if len(frame) else NOTHING


def readable(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table in words: units, "-" for what nobody measured; a "*" where the time is of a part."""
    return pd.DataFrame(
        [
            {
                "model": label(run, row["model"]),
                "stage": row["stage"],
                "wall time": said(row["wall_s"], duration) + ("*" if is_partial(row) else ""),
                "machine": row["machine"],
                "samples": said(row["samples"], lambda value: f"{value:,.0f}"),
                "samples/s": said(row["samples_per_s"], lambda value: f"{value:,.1f}"),
                "FLOP": said(row["flops"], lambda value: scaled(value, "FLOP")),
                "FLOP/s": said(row["flops_per_s"], lambda value: scaled(value, "FLOP/s")),
                "MFU": said(row["mfu"], lambda value: f"{100 * value:.2f} %"),
                "MFU is a share of": said(row["mfu_of"], str),
                "energy": said(row["energy_j"], lambda value: scaled(value, "J")),
                "CO2": said(row["co2_g"], lambda value: scaled(value, "g")),
            }
            for row in table.to_dict("records")
        ]
    )


def is_partial(row: dict[Any, Any]) -> bool:
    """Whether a row's time is of a training's last part alone."""
    return not absent(row["covered"]) and row["covered"] < 1


def said(value: Any, words: Any) -> str:
    """A cell in ``words``, "-" where there is nothing."""
    return NOTHING if absent(value) else words(value)
