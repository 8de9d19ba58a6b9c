"""Charts on the page, with their descriptions for those who cannot see them."""

from m3ae.config import Run
from m3ae.report import curves, figure6, html
from m3ae.report.describe import describe
from m3ae.report.tables import figure_table


def figure(run: Run, name: str) -> str:
    """The chart ``name`` as it lies in ``reports/{run}``."""
    words = {"figure6": figure6.describe, "curves": curves.describe}.get(name, describe)
    table = curves.curves_table(run) if name == "curves" else figure_table(run, name)
    return html.chart(run, name, words(run, table))
