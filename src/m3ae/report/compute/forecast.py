"""What the run `paper` would cost: arithmetic on its configuration, nothing of it measured."""

from typing import Any

import pandas as pd

from m3ae.config import load_run
from m3ae.report.format import NOTHING
from m3ae.report.paper import label
from m3ae.train.budget import ASSUMED_MFU, ASSUMED_TFLOPS, Cost, together, training_of

PAPER = "paper"
GPUS = 8


def forecast_table() -> pd.DataFrame:
    """A row per model of `paper` and one for all: samples, operations, GPU-hours, days on eight GPUs."""
    paper = load_run(PAPER)
    costs = {name: training_of(paper, name) for name in paper.models}
    trained = {name: cost for name, cost in costs.items() if cost.flops}
    rows = [line(f"{label(paper, name)} (`{name}`)", cost) for name, cost in trained.items()]
    return pd.DataFrame([*rows, line("all", together(trained.values()))])


def line(name: str, cost: Cost) -> dict[str, Any]:
    """One row, numbers as text."""
    hours = cost.gpu_hours(ASSUMED_MFU, ASSUMED_TFLOPS)
    return {
        "model": name,
        "samples (million)": f"{cost.samples / 1e6:,.0f}",
        "EFLOP": f"{cost.flops / 1e18:,.1f}",
        "GPU-hours": f"{hours:,.0f}",
        f"days on {GPUS} GPUs": f"{hours / GPUS / 24:,.1f}",
    }


def forecast_words() -> str:
    """What the forecast assumes."""
    return (
        "Arithmetic, not a measurement: samples and operations follow from config/paper.yaml, every caption "
        f"at its full length, and the hours from {100 * ASSUMED_MFU:g} % of {ASSUMED_TFLOPS:g} TFLOP/s "
        "(one H100 reached 24 % for B and 32 % for L: benchmarks/results/gpu_step.md). Pre-training alone; "
        f"energy and CO2 are not forecast ({NOTHING}). Other rates: m3ae budget --run paper --mfu SHARE."
    )
