"""A figure's table as CSV for programs and as Markdown for people."""

import pandas as pd

from m3ae.config import Run
from m3ae.files import write_text
from m3ae.report.format import NOTHING, interval, percent, rounded
from m3ae.report.paper import TITLES, label
from m3ae.report.subjects import subject
from m3ae.report.tables import OURS


def write_table(run: Run, figure: str, table: pd.DataFrame, alt: str) -> None:
    """Write ``reports/{run}/{figure}.csv`` and ``.md``: the same bytes for the same records."""
    folder = run.paths.reports
    write_text(folder / f"{figure}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{figure}.md", markdown(run, figure, table, alt))


def markdown(run: Run, figure: str, table: pd.DataFrame, alt: str) -> str:
    """The banner, the title, the chart and the table."""
    banner = f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    rows = readable(run, table).to_markdown(index=False, disable_numparse=True)
    return (
        f"{banner}## {TITLES[figure]}\n\n{run.settings.title} (`{run.name}`). {measure(run, figure)}\n\n"
        f"![{alt}]({figure}.svg)\n\n{rows}\n"
    )


def readable(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table in words: names, one decimal, intervals, "-" for empty cells."""
    return pd.DataFrame(
        {
            "model": [label(run, *cell) for cell in zip(table["model"], table["panel"], strict=True)],
            "panel": table["panel"],
            "metric": [what(run, *cell) for cell in zip(table["panel"], table["metric"], strict=True)],
            "paper v1": table["paper_v1"].map(percent),
            "paper v3": table["paper_v3"].map(percent),
            "ours": table["ours"].map(rounded),
            "interval": [interval(*ends) for ends in zip(table["low"], table["high"], strict=True)],
            "seeds": [
                str(len(seeds.split())) if isinstance(seeds, str) else NOTHING for seeds in table["seeds"]
            ],
            "verdict": [verdict or NOTHING for verdict in table["verdict"]],
            "record": [link(path) for path in table["record"]],
        }
    )


def number_of(seeds: object) -> str:
    """How many seeds the numbers are of."""
    return str(len(seeds.split())) if isinstance(seeds, str) and seeds else NOTHING


def what(run: Run, panel: str, metric: str) -> str:
    """What a row measures; the two things that it measures where ours is not the paper's."""
    words = metric.replace("_", " ")
    if panel == OURS or run.settings.check.comparable:
        return words
    ours = run.tasks[0] if metric.endswith("accuracy") else run.ood_pairs[0]
    return f"{words} (ours: {subject(ours)})"


def link(path: object) -> str:
    """A link from ``reports/{run}/`` to a record."""
    return f"[record](../../{path})" if isinstance(path, str) else NOTHING


def measure(run: Run, figure: str) -> str:
    """What ``ours`` is, and how a verdict comes about, in one or two sentences."""
    ours = (
        f"AUROC of {subject(run.ood_pairs[0])}"
        if figure == "figure6"
        else f"{subject(run.tasks[0])} accuracy"
    )
    check, share = run.settings.check, f"{run.settings.statistics.confidence:.0%}".replace("%", " %")
    how = (
        f"a cell is reproduced within {check.tolerance_points:g} points of v1"
        if check.comparable
        else "verdicts judge the paper's orderings, by paired bootstrap differences; no number is compared"
    )
    what = f"Ours: {ours}, %, with {share} bootstrap intervals (over seeds too where there are several)"
    return f"{what}; panel `{OURS}`: not printed in the paper; {how}."
