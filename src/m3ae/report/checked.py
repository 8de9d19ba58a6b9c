"""The outcome of a check as Markdown: the numbers, the orderings, and one line that counts."""

from collections import Counter
from collections.abc import Iterator

from m3ae.config import Run
from m3ae.report.check import GONE, OK, OUTSIDE, Line
from m3ae.report.claims import claims
from m3ae.report.format import NOTHING, interval, signed
from m3ae.report.orderings import ordering
from m3ae.report.paper import TITLES
from m3ae.report.verdicts import NOT_RUN

COLUMNS = ("cell", "paper", "reference", "ours", "difference", "tolerance", "ok")
NAMED = 5
"""Failures that the last line names."""


def failures(lines: list[Line]) -> list[Line]:
    """The numbers that are not what they should be."""
    return [line for line in lines if line.verdict in (OUTSIDE, GONE)]


def in_words(run: Run, lines: list[Line], *, whole: bool) -> str:
    """Figures 3 to 6 and whatever fails (``whole``: every number), the orderings, the count last."""
    from tabulate import tabulate

    failed = failures(lines)
    shown = [line for line in lines if whole or line in failed or line.cell.partition(".")[0] in TITLES]
    numbers = tabulate(map(row, shown), headers=COLUMNS, tablefmt="github", disable_numparse=True)
    orders = tabulate(
        order_rows(run),
        headers=("ordering", "measured on", "paper", "ours", "interval", "seeds", "verdict"),
        tablefmt="github",
        disable_numparse=True,
    )
    rest = len(lines) - len(shown)
    note = (
        f"\n{rest} further numbers are as they should be, or were not run: --all shows them.\n"
        if rest
        else ""
    )
    return (
        f"# Check of run {run.name}\n\n{numbers}\n{note}\nOrderings (better minus worse, points; not judged "
        f"here):\n\n{orders}\n\n{count(run, lines)}\n"
    )


def row(line: Line) -> list[str]:
    """A number beside what it should be."""
    values = (line.paper, line.reference, line.ours)
    shown = [NOTHING if value is None else f"{value:.7g}" for value in values]
    gap = NOTHING if line.difference is None else f"{line.difference:+.4g}"
    return [line.cell, *shown, gap, f"{line.tolerance:g}", line.verdict]


def order_rows(run: Run) -> Iterator[list[str]]:
    """The paper's orderings and ours, with the verdict of the paired interval."""
    for claim in claims(run):
        found = ordering(run, claim)
        numbers = [signed(found["paper_v1"]), signed(found["difference"])]
        ends, seeds = interval(found["low"], found["high"]), found["seeds"] or NOTHING
        yield [found["ordering"], claim.stage, *numbers, ends, seeds, found["verdict"]]


def count(run: Run, lines: list[Line]) -> str:
    """How many are as they should be, and the first that are not."""
    counts, failed = Counter(line.verdict for line in lines), failures(lines)
    told = [f"{counts[verdict]} {verdict}" for verdict in (OK, OUTSIDE, GONE, NOT_RUN) if counts[verdict]]
    named = [describe(line) for line in failed[:NAMED]]
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    ending = f": {'; '.join(named)}{more}" if named else ""
    return f"check {run.name}: {len(lines)} numbers, {', '.join(told)}{ending}"


def describe(line: Line) -> str:
    """`figure3.m3ae-b100: expected 24.25 +- 1.9, got 60`."""
    got = NOTHING if line.ours is None else f"{line.ours:.7g}"
    return f"{line.cell}: expected {line.expected:.7g} +- {line.tolerance:g}, got {got}"
