"""What checkpoints cost: the time of a save as training does it, as a share of the time between two.

    python benchmarks/checkpoint.py > benchmarks/results/checkpoint.md

Models of `photos` and `paper` with the state that AdamW keeps after a step, written, synchronised and hashed
on this machine's disk by ``State.save``. While it writes, training waits.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from m3ae.config import load_run
from m3ae.records import processor
from m3ae.train.build import build_model
from m3ae.train.interval import Interval
from m3ae.train.optimizer import make_optimizer
from m3ae.train.ranks import Ranks
from m3ae.train.state import State

SAVES = 7
MODELS = [("photos", "m3ae-b100"), ("photos", "mae-b100"), ("paper", "m3ae-b100"), ("paper", "m3ae-l50")]


def saves(run_name: str, name: str) -> tuple[float, list[float], int]:
    """Time between two checkpoints (s), times of saves (s), and bytes of one."""
    run = load_run(run_name)
    recipe = run.settings.pretrain
    model = build_model(run, name, run.settings.data.tokens.vocab_size)
    optimizer = make_optimizer(model, recipe)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        state = State(Path(folder), model, optimizer, Ranks(), recipe.checkpoint_minutes)
        seconds = []
        for step in range(SAVES):
            began = time.perf_counter()
            state.save(step, Interval())
            seconds.append(time.perf_counter() - began)
        size = max(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    return state.every_s, seconds, size


def main() -> None:
    """Print the table."""
    print("# What checkpoints cost\n")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}; median and range of {SAVES} saves.\n")
    print("    python benchmarks/checkpoint.py\n")
    print(
        "| run | model | GB | a save (s) | between two (s) | share of the time |\n|---|---|---|---|---|---|"
    )
    for run_name, name in MODELS:
        every_s, seconds, size = saves(run_name, name)
        median, low, high = np.median(seconds), min(seconds), max(seconds)
        share = f"{median / (every_s + median):.2%}".replace("%", " %")
        cells = (
            run_name,
            name,
            f"{size / 1e9:.3f}",
            f"{median:.2f} [{low:.2f}, {high:.2f}]",
            f"{every_s:.0f}",
            share,
        )
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
