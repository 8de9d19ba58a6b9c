"""What the run `paper` would cost: arithmetic on its configuration, nothing of it measured."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from m3ae.config import Run, load_run
from m3ae.report.format import NOTHING
from m3ae.report.paper import label
from m3ae.train.budget import ASSUMED_MFU, ASSUMED_TFLOPS, Cost, cost_of, together

PAPER = "paper"
GPUS = 8


def forecast(paper: Run) -> pd.DataFrame:
    """A row per model of `paper` and one for all: samples, operations, GPU-hours, days on eight GPUs."""
    names = [name for name in paper.models if cost_of(paper, name).flops]
    rows = [line(f"{label(paper, name)} (`{name}`)", [cost_of(paper, name)]) for name in names]
    return pd.DataFrame([*rows, line("all", (cost_of(paper, name) for name in names))])


def line(name: str, costs: Iterable[Cost]) -> dict[str, Any]:
    """One row, numbers as text."""
    cost = together(costs)
    hours = cost.gpu_hours(ASSUMED_MFU, ASSUMED_TFLOPS)
    return {
        "model": name,
        "samples (million)": f"{cost.samples / 1e6:,.0f}",
        "EFLOP": f"{cost.flops / 1e18:,.1f}",
        "GPU-hours": f"{hours:,.0f}",
        f"days on {GPUS} GPUs": f"{hours / GPUS / 24:,.1f}",
    }


def forecast_table() -> pd.DataFrame:
    """``forecast`` of ``config/paper.yaml``."""
    return forecast(load_run(PAPER))


def forecast_words() -> str:
    """What the forecast assumes."""
    return (
        "Arithmetic, not a measurement: samples and operations follow from config/paper.yaml, every caption "
        f"at its full length, and the hours from {100 * ASSUMED_MFU:g} % of {ASSUMED_TFLOPS:g} TFLOP/s "
        "(one H100 reached 24 % for B and 32 % for L: benchmarks/results/gpu_step.md). Pre-training alone; "
        f"energy and CO2 are not forecast ({NOTHING}). Other rates: m3ae budget --run paper --mfu SHARE."
    )
