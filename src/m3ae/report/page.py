"""Charts on the page, with their descriptions for those who cannot see them."""

from m3ae.config import Run
from m3ae.report import curves, figure3, figure6, html
from m3ae.report.tables import figure_table


def figure(run: Run, name: str) -> str:
    """The chart ``name`` as it lies in ``reports/{run}``."""
    describe = {"figure3": figure3.describe, "figure6": figure6.describe, "curves": curves.describe}[name]
    table = curves.curves_table(run) if name == "curves" else figure_table(run, name)
    return html.chart(run, name, describe(run, table))
