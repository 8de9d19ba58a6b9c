"""Training steps on a GPU: utilisation, samples per second, and how long they wait for real data.

    python benchmarks/gpu_step.py > benchmarks/results/gpu_step.md

Rows of `paper` at 256 px in bf16, built and stepped by the training engine itself. "Synthetic" steps take one
made-up batch that lies on the device, with captions of 6 to 30 words, with blocks compiled and not; "real"
ones read JPEGs of 256 px from clean shards, decoded and augmented by worker processes. Utilisation (MFU) is
the FLOPs that a step really does over the card's dense peak in bf16, as its maker states it. Before any
timing, losses on the GPU are compared with those on the processor. Two to three minutes on an H100.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from m3ae.config import load_run
from m3ae.config.run import Run
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream
from m3ae.train.doctor.synthetic import synthetic_batch
from m3ae.train.doctor.trial import Trial
from m3ae.train.feed import feed
from m3ae.train.machine import Machine
from m3ae.train.telemetry.rate import peak_flops

ROWS = {"m3ae-b100": 1024, "mae-b100": 1024, "m3ae-l50": 512}  # samples of a step
LENGTHS = list(range(6, 31))
VOCABULARY = 30522
WARM_UP, SECONDS = 4, 5.0
IMAGES = 768  # photographs of the real input
WORKERS = max(1, (os.cpu_count() or 2) - 1)
CHECKED = 8  # samples of the comparison with the processor


class Timed(NamedTuple):
    """Steps that were timed."""

    samples_per_s: float
    mfu: float
    wait: float
    """Share of the time in which the step waited for its data."""


def steps(trial: Trial, parts, samples: int, seconds: float) -> Timed:
    """Take steps for about ``seconds``, after some to warm up."""
    for _ in range(WARM_UP):
        trial.step([next(parts)], samples)
    trial.wait()
    began, taken, waited, flops = time.perf_counter(), 0, 0.0, 0.0
    while time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        part = next(parts)
        waited += time.perf_counter() - asked
        trial.step([part], samples)
        flops += trial.spread.objective.flops([part])
        taken += 1
        if taken % 8 == 0:
            trial.wait()  # the queue must not run away from the clock
    trial.wait()
    spent = time.perf_counter() - began
    peak = peak_flops(trial.device, "bf16")
    return Timed(taken * samples / spent, flops / spent / peak if peak else float("nan"), waited / spent)


def forever(part):
    """The same part again and again."""
    while True:
        yield part


def measure(paper: Run, photographs: Run, name: str) -> None:
    """All rows of the table for a model."""
    samples = ROWS[name]
    batch = synthetic_batch(paper.settings_of(name), VOCABULARY, samples, LENGTHS)
    trial = Trial(paper, name, VOCABULARY, Machine(compile=False))
    line(name, "synthetic, eager", steps(trial, forever(trial.part(batch)), samples, SECONDS))
    del trial
    torch.cuda.empty_cache()
    trial = Trial(paper, name, VOCABULARY, Machine(compile=True))
    line(name, "synthetic", steps(trial, forever(trial.part(batch)), samples, SECONDS))
    batches = load_steps(Stream(photographs, name), samples, 0, 2**40, WORKERS)
    parts = (parts[0] for _, parts in feed(batches, trial.spread.objective.split, trial.device))
    line(name, "real", steps(trial, parts, samples, 2 * SECONDS))


def compare_with_processor(run: Run, name: str) -> str:
    """Losses of the same weights and batch, on the processor in fp32 and on the GPU in fp32 and bf16."""
    trial = Trial(run, name, VOCABULARY, Machine(compile=False))
    batch = synthetic_batch(run.settings_of(name), VOCABULARY, CHECKED, LENGTHS)
    losses = {}
    for device, precision in (("cuda", "fp32"), ("cuda", "bf16"), ("cpu", "fp32")):
        trial.device, trial.precision = torch.device(device), precision
        trial.spread.objective.to(device)
        with torch.no_grad():
            losses[device, precision] = float(trial.loss(trial.part(batch), CHECKED))
    exact = losses["cpu", "fp32"]
    off = {key: abs(value / exact - 1) for key, value in losses.items()}
    assert off["cuda", "fp32"] < 1e-4, losses
    assert off["cuda", "bf16"] < 1e-2, losses
    return f"{name}: {off['cuda', 'fp32']:.0e} in fp32, {off['cuda', 'bf16']:.0e} in bf16"


def line(name: str, what: str, timed: Timed) -> None:
    """A row of the table."""
    share = f"{100 * timed.wait:.1f} %" if what == "real" else "-"
    cells = (name, str(ROWS[name]), what, f"{timed.samples_per_s:.0f}", f"{100 * timed.mfu:.1f} %", share)
    print("| " + " | ".join(cells) + " |", flush=True)


def header() -> None:
    """What was measured, on what."""
    commit = (
        os.environ.get("M3AE_COMMIT")
        or subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
    )
    print("# Training steps on a GPU\n")
    print(f"{time.strftime('%Y-%m-%d')}, {torch.cuda.get_device_name()}, {os.cpu_count()} cores,", end=" ")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, commit {commit}.")
    print("`python benchmarks/gpu_step.py`: what is measured, and how, is said there.\n")


def main(names: list[str]) -> None:
    """Print the table."""
    from made_photographs import make_run, photographs

    paper = load_run("paper")
    header()
    print("Losses beside the processor's in fp32, relative difference:", end=" ")
    print("; ".join(compare_with_processor(paper, name) for name in names[:2]) + ".\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["M3AE_DATA_ROOT"] = folder
        shutil.copytree("config", Path(folder) / "config")
        os.chdir(folder)
        run = make_run(Path(folder), "gpu", photographs(IMAGES, (256, 256), 95), 256)
        print("| row | batch | input | samples/s | MFU | waits for data |", flush=True)
        print("|---|---|---|---|---|---|", flush=True)
        for name in names:
            measure(paper, run, name)


if __name__ == "__main__":
    main(sys.argv[1:] or list(ROWS))
