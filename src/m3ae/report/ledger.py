"""What opens the report: the banner, what was reproduced in a few words, and the ledger."""

from collections import Counter

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import interval, percent, rounded, signed
from m3ae.report.paper import label
from m3ae.report.tables import OURS, figure_table
from m3ae.report.verdicts import NOT_RUN, orderings

LEDGER_FIGURES = {
    "figure3": "Figure 3: linear accuracy (%)",
    "figure4": "Figure 4: linear accuracy (%)",
    "figure5": "Figure 5: linear accuracy (%)",
    "figure6": "Figure 6: AUROC (%)",
}
METRICS = {
    "accuracy": "accuracy",
    "mean_average_precision": "mean average precision",
    "mahalanobis_auroc": "Mahalanobis AUROC",
    "msp_auroc": "MSP AUROC",
}
ELSEWHERE = "Figures 7 to 9 of the paper are not part of this report."
WORDS = ["cell", "ordering", "measured on", "verdict"]


def opening(run: Run) -> str:
    """Banner, title, and the verdicts counted."""
    banner = run.settings.banner
    large = Markup('<p class="banner">{}</p>').format(banner) if banner else Markup("")
    title = Markup("<h1>{}</h1>").format(run.settings.title)
    about = Markup(
        '<p class="lead">Run <code>{}</code> of an open reproduction of <cite>Multimodal Masked Autoencoders '
        "Learn Transferable Representations</cite> (M3AE; Geng et al. 2022, arXiv 2205.14204). {}</p>"
    ).format(run.name, scope(run))
    return large + title + about + tally(run) + findings(run)


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
    """How many cells and orderings got which verdict: what one reads first."""
    found = orderings(run)
    paper = found["source"] != "ours"
    groups = {
        "The paper's orderings": found.loc[paper, "verdict"],
        "Our own orderings": found.loc[~paper, "verdict"],
    }
    if run.settings.check.comparable:
        tables = [figure_table(run, figure) for figure in LEDGER_FIGURES]
        cells = pd.concat([table.loc[table["panel"] != OURS, "verdict"] for table in tables])
        groups = {"The paper's numbers": cells, **groups}
    parts = [tally_line(name, list(verdicts)) for name, verdicts in groups.items()]
    return Markup('<ul class="tally">{}</ul>').format(Markup("").join(parts))


def tally_line(name: str, verdicts: list[str]) -> Markup:
    """One line: `The paper's orderings (9): 3 ordering holds, 6 not run`."""
    counts = Counter(verdicts)
    chips = [
        Markup('<span class="verdict {}"><b>{}</b> {}</span>').format(look, counts[verdict], verdict)
        for verdict, look in html.VERDICTS.items()
        if counts[verdict]
    ]
    return Markup("<li><span>{} ({})</span> {}</li>").format(name, len(verdicts), Markup(" ").join(chips))


def findings(run: Run) -> Markup:
    """The paper's orderings that were run, in sentences; then what was not run."""
    found = orderings(run)
    paper = found[found["source"] != "ours"].to_dict("records")
    lines = [
        Markup("<li>{} <span>{} on {} ({}): {} points {}; the paper: {}.</span></li>").format(
            html.verdict(row["verdict"]),
            row["ordering"],
            row["subject"],
            METRICS[row["metric"]],
            signed(row["difference"]),
            interval(row["low"], row["high"]),
            signed(row["paper"]),
        )
        for row in paper
        if row["verdict"] != NOT_RUN
    ]
    rest = ""
    for figure in LEDGER_FIGURES:
        missing = [r["ordering"] for r in paper if (r["source"], r["verdict"]) == (figure, NOT_RUN)]
        if missing:
            rest += f"Not run of Figure {figure[-1]}: {'; '.join(dict.fromkeys(missing))}. "
    return Markup('<ul class="findings">{}</ul><p class="note">{}{}</p>').format(
        html.joined(lines), rest, ELSEWHERE
    )


def ledger(run: Run) -> str:
    """paper | ours | difference | interval | verdict for every printed cell, then the paper's orderings."""
    cells = [cells_table(run, figure) for figure in LEDGER_FIGURES]
    found = orderings(run)
    paper = orderings_table(run, found[found["source"] != "ours"], "The paper's orderings (points)")
    return Markup("\n").join([*cells, paper])


def cells_table(run: Run, figure: str) -> Markup:
    """The printed cells of a figure. A difference of numbers that measure different things is not given."""
    table = figure_table(run, figure)
    rows = []
    for cell in table[table["panel"] != OURS].to_dict("records"):
        name = label(run, cell["model"], cell["panel"])
        gap = cell["ours"] - cell["paper_v1"] if run.settings.check.comparable else None
        rows.append(
            {
                "cell": f"{name} · {cell['panel']}" if figure == "figure6" else name,
                "paper v1": percent(cell["paper_v1"]),
                "paper v3": percent(cell["paper_v3"]),
                "ours": html.link(cell["record"], rounded(cell["ours"])),
                "difference": signed(gap),
                "interval": interval(cell["low"], cell["high"]),
                "verdict": html.verdict(cell["verdict"]),
            }
        )
    subject = run.ood_pairs[0] if figure == "figure6" else run.tasks[0]
    caption = f"{LEDGER_FIGURES[figure]}. Ours: {subject}"
    return html.table(pd.DataFrame(rows), words=WORDS, caption=caption)


def orderings_table(run: Run, found: pd.DataFrame, caption: str) -> Markup:
    """Orderings: the paper's difference, ours with its paired interval, the verdict."""
    rows = [
        {
            "ordering": row["ordering"],
            "measured on": f"{row['subject'] or 'concepts'}, {METRICS[row['metric']]}",
            "paper": signed(row["paper"]),
            "ours": signed(row["difference"]),
            "interval": interval(row["low"], row["high"]),
            "verdict": html.verdict(row["verdict"]),
        }
        for row in found.to_dict("records")
    ]
    frame = pd.DataFrame(rows)
    if found["paper"].isna().all():
        frame = frame.drop(columns="paper", errors="ignore")
    return html.table(frame, words=WORDS, caption=caption)
