"""A chart of accuracies in words, for those who cannot see it."""

import pandas as pd

from m3ae.config import Run
from m3ae.config.printed import varied
from m3ae.report.format import percent, rounded
from m3ae.report.paper import label
from m3ae.report.subjects import task
from m3ae.report.tables import OURS


def describe(run: Run, table: pd.DataFrame) -> str:
    """Every model on the chart's axes with its value, and the paper's where it prints one."""
    first = table["metric"] == f"{run.tasks[0]}_accuracy"
    on_axis = table["model"].map(lambda model: varied(run, model) is not None)
    cells = table[(table["panel"] != OURS) | (first & on_axis)].drop_duplicates("model")
    values = [
        f"{label(run, cell['model'], cell['panel'])} {rounded(cell['ours'])} "
        f"(paper {percent(cell['paper_v1'])})"
        for cell in cells.to_dict("records")
    ]
    subject = task(run.tasks[0])
    return f"Linear accuracy in % on {subject}, the paper's on ImageNet in brackets: {'; '.join(values)}."
