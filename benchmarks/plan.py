"""How long Snakemake needs to plan all of a run, and what reading our Snakefile adds to it.

    python benchmarks/plan.py > benchmarks/results/plan.md

A dry run of every target in a fresh copy of the project, without any result. Seconds of the processor, for
other work on the machine does not count in them: alone, the wall clock shows hardly more. The bound is 5 s.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from importlib.metadata import version
from pathlib import Path

from m3ae.artifacts.recognise import adopt
from m3ae.config import load_run
from m3ae.records import processor

CHECKOUT = Path(__file__).parents[1]
RUNS, BOUND_S = 3, 5


def plan(folder: Path, run: str) -> float:
    """Processor seconds of one dry run."""
    command = [sys.executable, "-m", "snakemake", "-n", "all", "--quiet", "all", "--config", f"run={run}"]
    before = os.times()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def recognition(folder: Path, run: str) -> float:
    """Processor seconds of looking for new files, where there are none; median."""
    with chdir(folder):
        loaded = load_run(run)
        adopt(loaded)  # imports are Snakemake's own
        return statistics.median(seconds(partial(adopt, loaded)) for _ in range(RUNS))


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of a call in this process."""
    began = time.process_time()
    call()
    return time.process_time() - began


def copy(folder: Path) -> Path:
    """The files that the workflow consists of."""
    for name in ("workflow", "profiles", "config", "reports/templates"):
        shutil.copytree(CHECKOUT / name, folder / name)
    shutil.copy(CHECKOUT / "Snakefile", folder)
    return folder


def main() -> None:
    """Print the table."""
    machine = f"{processor()}, Python {platform.python_version()}, Snakemake {version('snakemake')}"
    print(f"# Planning a run\n\n{time.strftime('%Y-%m-%d')}, {machine}.")
    print(f"Median of {RUNS} dry runs of `all`, seconds of the processor.\n")
    print("| run | plan | bound | of which looking for new files |\n|---|---|---|---|")
    for run in ("tiny", "photos", "paper"):
        with tempfile.TemporaryDirectory() as name:
            folder = copy(Path(name))
            planned = statistics.median(plan(folder, run) for _ in range(RUNS))
            print(f"| {run} | {planned:.2f} | {BOUND_S} | {recognition(folder, run):.2f} |", flush=True)


if __name__ == "__main__":
    main()
