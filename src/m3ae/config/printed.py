"""Which models the paper prints in which figure: from ``config/paper_numbers.csv``, without pandas."""

import csv
from pathlib import Path

from m3ae.config.run import Run
from m3ae.errors import UserError

NUMBERS = Path("config/paper_numbers.csv")


def printed_models(figure: str | None = None) -> list[str]:
    """The models of a figure (default: of all), in the paper's order."""
    try:
        with NUMBERS.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if figure in (None, row["figure"])]
    except FileNotFoundError:
        raise UserError(f"{NUMBERS}: no such file; run the command in the project folder") from None
    return list(dict.fromkeys(row["model"] for row in rows))


def figure_rows(run: Run, figure: str) -> list[str]:
    """The rows of a run that a figure shows: printed ones; in Figures 3 and 6 those too that none prints,
    in Figure 6 the baselines beside them."""
    added = set(run.rows) - set(printed_models()) if figure in ("figure3", "figure6") else set()
    if figure == "figure6":
        added |= set(baselines(run))
    printed = printed_models(figure)
    return [row for row in run.rows if row in printed or row in added]


def baselines(run: Run) -> list[str]:
    """The rows that no masked autoencoder is behind: CLIP, then supervised."""
    return [row for method in ("clip", "supervised") for row in run.models_of(method) if row in run.rows]


def figure_models(run: Run, figure: str) -> list[str]:
    """These rows and their repeats: the models whose records the figure reads."""
    return [model for row in figure_rows(run, figure) for model in (row, *run.repeats_of(row))]
