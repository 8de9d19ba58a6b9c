"""What opens the report: what this run is, and what was reproduced, for one minute of reading."""

from collections import Counter

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.claims import M3AE, MAE
from m3ae.report.format import interval, signed
from m3ae.report.ledger import LEDGER_FIGURES
from m3ae.report.orderings import measured_on, orderings
from m3ae.report.paper import label
from m3ae.report.tables import OURS, figure_table
from m3ae.report.verdicts import NOT_RUN


def title(run: Run) -> str:
    """The heading of the overview."""
    return Markup("<h1>{}</h1>").format(run.settings.title)


def opening(run: Run) -> str:
    """The run in a sentence, M3AE against MAE, and the verdicts counted by figure."""
    about = Markup(
        '<p class="lead">Run <code>{}</code> of an open reproduction of <cite>Multimodal Masked Autoencoders '
        "Learn Transferable Representations</cite> (M3AE; Geng et al. 2022, arXiv 2205.14204). {}</p>"
    ).format(run.name, scope(run))
    return about + findings(run) + tally(run) + missing(run)


def scope(run: Run) -> str:
    """What may be compared with the paper."""
    check = run.settings.check
    if check.comparable:
        return (
            f"Data, models and measures are the paper's: a number counts as reproduced within "
            f"{check.tolerance_points:g} points."
        )
    return (
        "Data, models and measures are not the paper's: its numbers cannot be compared, only which of two "
        "models is better."
    )


def tally(run: Run) -> Markup:
    """How many orderings (and numbers, where they can be compared) got which verdict, by figure."""
    found = orderings(run)
    lines = []
    for figure in LEDGER_FIGURES:
        verdicts = list(found.loc[found["source"] == figure, "verdict"])
        lines.append(tally_line(figure_link(figure), f"{len(verdicts)} orderings", verdicts))
        if run.settings.check.comparable:
            table = figure_table(run, figure)
            numbers = list(table.loc[table["panel"] != OURS, "verdict"])
            lines.append(tally_line(figure_link(figure), f"{len(numbers)} numbers", numbers))
    own = list(found.loc[found["source"] == "ours", "verdict"])
    lines.append(tally_line(Markup("Beyond the paper"), f"{len(own)} orderings", own))
    return Markup('<ul class="tally">{}</ul>').format(html.joined(lines))


def figure_link(figure: str) -> Markup:
    """A link to a figure's page."""
    return Markup('<a href="{}.html">Figure {}</a>').format(figure, figure[-1])


def tally_line(name: Markup, number: str, verdicts: list[str]) -> Markup:
    """One line: `Figure 3, 9 orderings: 3 ordering holds, 6 not run`."""
    counts = Counter(verdicts)
    chips = [
        Markup('<span class="verdict {}"><b>{}</b> {}</span>').format(look, counts[verdict], verdict)
        for verdict, look in html.VERDICTS.items()
        if counts[verdict]
    ]
    return Markup("<li><span>{} <small>{}</small></span> {}</li>").format(
        name, number, Markup(" ").join(chips)
    )


def findings(run: Run) -> Markup:
    """M3AE minus MAE on every measure of this run."""
    found = orderings(run)
    heads = found[found["ordering"] == f"{label(run, M3AE)} > {label(run, MAE)}"].to_dict("records")
    rows = [
        {
            "measured on": measured_on(row),
            "the paper": signed(row["paper_v1"]),
            "this run": signed(row["difference"]),
            "interval": interval(row["low"], row["high"]),
            "verdict": html.verdict(row["verdict"]),
        }
        for row in heads
    ]
    caption = "M3AE minus MAE (percentage points)"
    return html.table(pd.DataFrame(rows), words=["measured on"], caption=caption)


def missing(run: Run) -> Markup:
    """The paper's orderings that were not run, by figure."""
    found = orderings(run)
    rest = found[(found["source"] != "ours") & (found["verdict"] == NOT_RUN)]
    if rest.empty:
        return Markup("")
    lines = [
        Markup("<li>{}: {}</li>").format(LEDGER_FIGURES[str(figure)], "; ".join(rows["ordering"].unique()))
        for figure, rows in rest.groupby("source", sort=False)
    ]
    return html.details(
        f"{len(rest)} orderings of the paper that were not run",
        Markup("<ul>{}</ul>").format(html.joined(lines)),
    )
