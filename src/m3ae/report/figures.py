"""A figure by its name: table and chart, from records alone."""

from collections.abc import Callable
from functools import partial

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.report.compute.table import make_compute
from m3ae.report.curves import make_curves
from m3ae.report.extended import make_extended
from m3ae.report.figure3 import make_figure3
from m3ae.report.figure4 import make_figure4
from m3ae.report.figure5 import make_figure5
from m3ae.report.figure6 import make_figure6
from m3ae.report.figure9 import make_figure9
from m3ae.report.targets import TARGETS

FIGURES: dict[str, Callable[[Run], None]] = {
    "figure3": make_figure3,
    "figure4": make_figure4,
    "figure5": make_figure5,
    "figure6": make_figure6,
    "curves": make_curves,
    "figure9": make_figure9,
    "compute": make_compute,
    **{name: partial(make_extended, name=name) for name in TARGETS},
}


def make_figure(run: Run, name: str) -> None:
    """Write ``reports/{run}/{name}.csv``, ``.md`` (not for curves), ``.svg`` and ``.png``."""
    if name not in FIGURES:
        raise UserError(f"figure {name!r}: expected one of {', '.join(FIGURES)}")
    FIGURES[name](run)
