"""One training step on a processor, beside plain PyTorch: speed, share of the machine's rate, memory.

    python benchmarks/step.py > benchmarks/results/step.md

Two comparisons, every contender in a process of its own with 2 threads (step_worker.py): an MAE of ViT-B/16
at 224 px against one of timm's blocks (mae_reference.py), and M3AE-B at 256 px with captions of 6 to 30 words
in 64 slots against a step that computes all positions and all logits (m3ae_reference.py). Both references are
eager and fp32, with torch's plain AdamW and memory as the C library gives it, and give the same loss for the
same weights and masks (checked at the start). They take turns, one step each, so that whatever else the
machine does meets all of them; what counts is the ratio within a round. Eight minutes on an idle machine.
"""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from step_worker import BATCH, THREADS

from m3ae.records import processor

HERE = Path(__file__).parent
ROUNDS = 9
TITLES = {"mae": "MAE, ViT-B/16 at 224 px", "m3ae": "M3AE-B at 256 px, 6 to 30 words in 64 slots"}
COLUMNS = (
    "",
    "samples/s",
    "plain step's time over this one's",
    "goal",
    "GFLOP per sample",
    "share of the products' rate",
    "goal",
    "peak, GiB",
)
GOALS = {  # of the ratio, and of the share
    "mae-fp32": ("1.2", "75 %"),
    "mae-bf16": ("4", "55 %"),
    "m3ae-fp32": ("1.15", "-"),
    "m3ae-bf16": ("4", "-"),
}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": str(THREADS)}


class Worker:
    """A contender that waits for its turn."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "step_worker.py"), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        self.flops = float(self.read().removeprefix("ready"))

    def read(self) -> str:
        """Its next line."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit("a contender failed: see above")
        return line

    def step(self) -> float:
        """Seconds of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.read())

    def peak_gib(self) -> float:
        """End it, and say what memory it used."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = float(self.read())
        self.process.wait()
        return peak


class Measured(NamedTuple):
    """A pair of contenders."""

    seconds: dict[str, np.ndarray]
    """Of each round, by contender."""
    rates: dict[str, np.ndarray]
    """FLOP/s of the step's matrix products, beside each round, by precision."""
    flops: dict[str, float]
    peaks: dict[str, float]


def rate(precision: str, what: str) -> float:
    """FLOP/s of matrix products alone."""
    command = [sys.executable, str(HERE / "step_products.py"), precision, what]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout)


def measure(what: str) -> Measured:
    """Rounds of one step of each."""
    names = [f"{what}-plain", f"{what}-fp32", f"{what}-bf16"]
    workers = {name: Worker(name) for name in names}
    rounds: list[dict[str, float]] = []
    rates: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for number in range(ROUNDS):
        rounds.append({name: worker.step() for name, worker in workers.items()})
        if number % 3 == 0:
            for precision, values in rates.items():
                values.append(rate(precision, what))
    return Measured(
        {name: np.array([times[name] for times in rounds]) for name in names},
        {precision: np.array(values) for precision, values in rates.items()},
        {name: worker.flops for name, worker in workers.items()},
        {name: worker.peak_gib() for name, worker in workers.items()},
    )


def interval(ratios: np.ndarray) -> str:
    """Median and 95 % bootstrap interval."""
    draws = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"


def print_table(what: str, measured: Measured) -> None:
    """A pair's table."""
    print(f"\n## {TITLES[what]}\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    plain = measured.seconds[f"{what}-plain"]
    for name, seconds in measured.seconds.items():
        flops, share = measured.flops[name], "-"
        if flops:
            best = measured.rates[name.rpartition("-")[2]].max()
            share = f"{flops / np.median(seconds) / best:.0%}".replace("%", " %")
        work = f"{flops / BATCH / 1e9:.1f}" if flops else "-"
        faster, busy = GOALS.get(name, ("-", "-"))
        cells = (
            name,
            f"{BATCH / np.median(seconds):.2f}",
            interval(plain / seconds),
            faster,
            work,
            share,
            busy,
        )
        print("| " + " | ".join(cells) + f" | {measured.peaks[name]:.2f} |")
    rates = ", ".join(f"{p} {values.max() / 1e9:.0f} GFLOP/s" for p, values in measured.rates.items())
    print(f"\nThe step's own matrix products, alone: {rates}, the best of {ROUNDS // 3}.", flush=True)


def main() -> None:
    """Print the tables."""
    print("# A training step on a processor, beside plain PyTorch\n")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {THREADS} threads, {os.cpu_count()} cores,", end=" ")
    print(f"torch {torch.__version__}, Python {platform.python_version()}; batch {BATCH}.")
    print("`python benchmarks/step.py`: what is compared, and how, is said there.\n")
    print(f"{ROUNDS} rounds; medians, and the median ratio within a round with its 95 % bootstrap", end=" ")
    print("interval.", flush=True)
    for what in TITLES:
        print_table(what, measure(what))


if __name__ == "__main__":
    main()
