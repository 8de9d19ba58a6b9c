"""What the paper prints, from ``config/paper_numbers.csv`` without pandas, and which rows a figure shows."""

import csv
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from m3ae.config.run import Run
from m3ae.errors import UserError

NUMBERS = Path("config/paper_numbers.csv")
LABELS = {
    "text_mask_ratio": re.compile(r"text mask ratio ([\d.]+)"),
    "paired_share": re.compile(r"([\d.]+) % paired"),
    "epochs": re.compile(r"(\d+) epochs"),
    "size": re.compile(r"ViT-(\w+)"),
}
"""How the names of printed rows state a setting."""
UNSAID = {"text_mask_ratio": "0.75", "paired_share": "100"}
"""What holds of a printed model whose names do not state it: the best of Figure 5, and all captions."""
VARIED = {
    "text_mask_ratio": ("figure5", None),
    "paired_share": ("figure3", None),
    "epochs": ("figure4", "epochs"),
    "size": ("figure4", "size"),
}
"""The figure, and the panel of it, along whose axis a setting varies."""


def printed_lines(figure: str | None = None, panel: str | None = None) -> list[dict[str, str]]:
    """The printed numbers of a figure, or of one of its panels (default: all), in the paper's order."""
    try:
        changed = NUMBERS.stat().st_mtime_ns
    except FileNotFoundError:
        raise UserError(f"{NUMBERS}: no such file; run the command in the project folder") from None
    lines = read_lines(NUMBERS.absolute(), changed)
    return [line for line in lines if figure in (None, line["figure"]) and panel in (None, line["panel"])]


@lru_cache(maxsize=8)
def read_lines(path: Path, changed: int) -> list[dict[str, str]]:
    """The file as it was at the time ``changed`` (ns): a page asks for it a thousand times."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def printed_models(figure: str | None = None, panel: str | None = None) -> list[str]:
    """The models of a figure or of a panel (default: of all), in the paper's order."""
    return list(dict.fromkeys(line["model"] for line in printed_lines(figure, panel)))


def printed_setting(model: str, setting: str) -> str:
    """A setting of a printed model as the paper's names of it state it: `0.15`, `10` (%), `25`, `L`."""
    names = [line["row"] for line in printed_lines() if line["model"] == model]
    stated = filter(None, map(LABELS[setting].search, names))
    return next((found[1] for found in stated), UNSAID.get(setting, ""))


def printed_text_mask_ratio(model: str) -> float:
    """The share of the words that the paper hides from a model."""
    return float(printed_setting(model, "text_mask_ratio"))


def printed_paired_share(model: str) -> float:
    """The share of its images that keep their caption in the paper."""
    return float(printed_setting(model, "paired_share")) / 100


def as_printed(run: Run, row: str) -> bool:
    """Whether a row still hides and pairs what the paper's cell of that name says; False if none has it.

    Lengths and sizes are the run's own: `m3ae-l50` of `tiny` is not ViT-L, and has 1 epoch.
    """
    if row not in printed_models():
        return False
    model = run.model(row)
    same = math.isclose(model.paired_share, printed_paired_share(row))
    if model.method != "m3ae":  # the others hide no words
        return same
    ratio = run.settings_of(row).pretrain.text_mask_ratio
    return same and math.isclose(ratio, printed_text_mask_ratio(row))


def varied(run: Run, row: str) -> str | None:
    """The one setting in which an unprinted row differs from a row of the figure that varies it.

    One of `VARIED`; None for a row that no axis has a place for, such as an untrained one.
    """
    if row in printed_models() or run.model(row).epochs == 0:
        return None
    own = resolved(run, row)
    for setting, place in VARIED.items():
        for near in filter(run.settings.models.__contains__, printed_models(*place)):
            other = resolved(run, near)
            if [key for key in own if own[key] != other[key]] == [setting]:
                return setting
    return None


def resolved(run: Run, row: str) -> dict[str, Any]:
    """The settings of a row, those of the run where it overrides none."""
    settings = run.settings_of(row)
    recipe = settings.pretrain
    over = {"text_mask_ratio": recipe.text_mask_ratio, "texts": recipe.mixture.texts, "seed": settings.seed}
    return {**run.model(row).plain(), **over}


def own_rows(run: Run, figure: str, panel: str | None = None) -> list[str]:
    """The unprinted rows of a run that stand on an axis of a figure (of a panel of it)."""
    settings = [setting for setting, place in VARIED.items() if place == (figure, panel)]
    return [row for row in run.rows if varied(run, row) in settings]


def figure_rows(run: Run, figure: str) -> list[str]:
    """The rows of a run that a figure shows: printed ones, and those that vary what it varies.

    In Figures 3 and 6 those too that no figure has a place for, in Figure 6 the baselines beside them.
    """
    printed, everywhere = printed_models(figure), printed_models()
    added = set(baselines(run)) if figure == "figure6" else set()
    for row in set(run.rows) - set(everywhere):
        setting = varied(run, row)
        if VARIED[setting][0] == figure if setting else figure in ("figure3", "figure6"):
            added.add(row)
    return [row for row in run.rows if row in printed or row in added]


def baselines(run: Run) -> list[str]:
    """The rows that no masked autoencoder is behind: CLIP, then supervised."""
    return [row for method in ("clip", "supervised") for row in run.models_of(method) if row in run.rows]


def figure_models(run: Run, figure: str) -> list[str]:
    """These rows and their repeats: the models whose records the figure reads."""
    return [model for row in figure_rows(run, figure) for model in (row, *run.repeats_of(row))]
