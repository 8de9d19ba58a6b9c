"""The targets beyond the figures, from records alone: a table and a chart each."""

import pandas as pd

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval
from m3ae.files import write_text
from m3ae.report import gains, style
from m3ae.report.dots import draw_dots
from m3ae.report.format import NOTHING, interval, rounded
from m3ae.report.lines import draw_lines
from m3ae.report.measures import in_words
from m3ae.report.paper import label
from m3ae.report.results import find_record
from m3ae.report.subjects import subject
from m3ae.report.tables import COLUMNS, measured
from m3ae.report.targets import TARGETS


def make_extended(run: Run, name: str) -> None:
    """Write ``reports/{run}/{name}.csv``, ``.md``, ``.svg`` and ``.png``."""
    table = extended_table(run, name)
    alt = describe(run, name, table)
    folder = run.paths.reports
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", markdown(run, name, table, alt))
    shown = in_chart(name, table)
    draw = draw_lines if name == "robustness" else draw_dots
    with style.theme():
        style.save(draw(run, shown, TARGETS[name].axis), run, name, alt)


def extended_table(run: Run, name: str) -> pd.DataFrame:
    """One row per metric and headline row that was run; the paper prints none of them."""
    rows = []
    for stage in TARGETS[name].records(run):
        for model in run.headline:
            record = find_record(run, model, stage)
            for metric in record.metrics if record else {}:
                cell = {"model": model, "panel": stage.partition("-")[2] or name, "metric": metric}
                rows.append(cell | measured(run, model, stage, metric))
    return pd.DataFrame(rows, columns=COLUMNS)


def in_chart(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that the chart shows."""
    return table[table["metric"].map(TARGETS[name].in_chart).astype(bool)]


def markdown(run: Run, name: str, table: pd.DataFrame, alt: str) -> str:
    """The banner, the title, the chart, and a table per panel: metrics down, models across."""
    target, banner = TARGETS[name], f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    share = f"{run.settings.statistics.confidence:.0%}".replace("%", " %")
    parts = [
        f"{banner}## {target.title}\n\n{run.settings.title} (`{run.name}`). {target.about} In brackets: "
        f"{share} bootstrap intervals over test items. Not in the paper.\n\n![{alt}]({name}.svg)\n"
    ]
    paired = gains.gains(run, table)
    if paired:
        parts.append(f"{gains.note(run, paired)}\n")
    for panel, rows in table.groupby("panel", sort=False):
        cells = wide(run, rows, paired).to_markdown(disable_numparse=True)
        parts.append(f"### {subject(str(panel))}\n\n{cells}\n")
    if table.empty:
        parts.append("Nothing of it was run: -\n")
    return "\n".join(parts)


def wide(run: Run, rows: pd.DataFrame, paired: dict[tuple[str, str], Interval]) -> pd.DataFrame:
    """Metrics down, models and their difference across, in the order of the rows; "-" where there is none."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows.to_dict("records"):
        text = f"{rounded(row['ours'])} {interval(row['low'], row['high'])}"
        cells.setdefault(label(run, row["model"]), {})[in_words(row["metric"])] = text
    panels = set(rows["panel"])
    own = {
        in_words(metric): gains.in_words(one) for (panel, metric), one in paired.items() if panel in panels
    }
    return pd.DataFrame(cells | ({gains.TITLE: own} if own else {})).fillna(NOTHING).rename_axis("")


def describe(run: Run, name: str, table: pd.DataFrame) -> str:
    """The chart in words, for those who cannot see it."""
    shown = in_chart(name, table)
    models = list(dict.fromkeys(shown["model"]))
    shared = shown[shown.groupby(["panel", "metric"])["model"].transform("nunique") == len(models)]
    means = [
        f"{label(run, model)} {rounded(shared.loc[shared['model'] == model, 'ours'].mean())}"
        for model in models
    ]
    told = f"means over what all of them have: {'; '.join(means)}" if means else "nothing was run"
    return f"{TARGETS[name].title}, {TARGETS[name].axis}; {told}."
