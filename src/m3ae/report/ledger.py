"""The ledger: the paper beside this run, cell by cell and ordering by ordering, each with its trace."""

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.claims import Claim, claims
from m3ae.report.format import interval, percent, rounded, signed
from m3ae.report.orderings import counted, measured_on, ordering
from m3ae.report.paper import label
from m3ae.report.subjects import subject
from m3ae.report.tables import OURS, figure_table, first_subject
from m3ae.report.trace import of_two, with_command

LEDGER_FIGURES = {
    "figure3": "Figure 3",
    "figure4": "Figure 4",
    "figure5": "Figure 5",
    "figure6": "Figure 6",
}
SEVERAL_PANELS = ("figure4", "figure6")
PANELS = {"epochs": "by length", "size": "by size"}
WORDS = ["figure", "cell", "ordering", "measured on", "verdict", "trace"]
CHOICES = ["figure", "verdict"]


def ledger(run: Run) -> str:
    """paper | ours | difference | interval | verdict for every printed cell, then for every ordering."""
    cells = [row for figure in LEDGER_FIGURES for row in cell_rows(run, figure)]
    numbers = html.table(
        pd.DataFrame(cells),
        words=WORDS,
        caption=f"Every number that the paper prints in Figures 3 to 6 (%). Ours: {subjects(run)}",
        interactive=True,
        choices=CHOICES,
    )
    found = [claim for claim in claims(run) if claim.source != "ours"]
    title = "Every ordering that these figures show (percentage points)"
    return numbers + orderings_table(run, found, title, interactive=True)


def subjects(run: Run) -> str:
    """On what this run measures the paper's cells."""
    return f"accuracy on {subject(run.tasks[0])}, AUROC of {subject(run.ood_pairs[0])}"


def cell_rows(run: Run, figure: str) -> list[dict[str, str]]:
    """The printed cells of a figure. A difference of numbers that measure different things is not given."""
    table = figure_table(run, figure)
    rows = []
    for cell in table[table["panel"] != OURS].to_dict("records"):
        name = label(run, cell["model"], cell["panel"])
        stage, _ = first_subject(run, figure, cell["metric"])
        gap = cell["ours"] - cell["paper_v1"] if run.settings.check.comparable else None
        rows.append(
            {
                "cell": in_panel(name, cell["panel"]) if figure in SEVERAL_PANELS else name,
                "figure": LEDGER_FIGURES[figure],
                "paper v1": percent(cell["paper_v1"]),
                "paper v3": percent(cell["paper_v3"]),
                "ours": html.link(cell["record"], rounded(cell["ours"])),
                "difference": signed(gap),
                "interval": interval(cell["low"], cell["high"]),
                "verdict": html.verdict(cell["verdict"]),
                "trace": with_command(run, figure, cell["model"], stage),
            }
        )
    return rows


def in_panel(name: str, panel: str) -> Markup:
    """A cell's name, where a figure prints the same model in several panels."""
    return Markup("{} <small>{}</small>").format(name, PANELS.get(panel, panel))


def whole(text: str) -> Markup:
    """An ordering that breaks at most before its second side."""
    better, _, worse = text.partition(" > ")
    return Markup('<span class="whole">{} &gt;</span> <span class="whole">{}</span>').format(better, worse)


def orderings_table(run: Run, found: list[Claim], caption: str, *, interactive: bool = False) -> Markup:
    """Orderings: the paper's difference, ours with its paired interval, the verdict."""
    frame = pd.DataFrame([ordering_row(run, claim, traced=interactive) for claim in found])
    if not interactive:
        frame = frame.drop(columns=["figure", "paper v1", "trace"], errors="ignore")
    return html.table(frame, words=WORDS, caption=caption, interactive=interactive, choices=CHOICES)


def ordering_row(run: Run, claim: Claim, *, traced: bool) -> dict[str, str]:
    """A line of ``orderings_table``."""
    row = ordering(run, claim)
    trace = of_two(run, claim.source, claim.better, claim.worse, claim.stage) if traced else Markup("")
    return {
        "ordering": whole(row["ordering"]),
        "figure": LEDGER_FIGURES.get(claim.source, ""),
        "measured on": measured_on(row),
        "paper v1": signed(row["paper_v1"]),
        "ours": signed(row["difference"]),
        "interval": interval(row["low"], row["high"]),
        "seeds": counted(row["seeds"]),
        "verdict": html.verdict(row["verdict"]),
        "trace": trace,
    }
