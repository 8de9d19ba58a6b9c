"""What a job costs that starts warm, beside one that imports everything by itself.

    python benchmarks/warm.py > benchmarks/results/warm.md

Jobs of a small run that is made first (`tests/whole_chain.py`), by turns started cold and handed to a warm
server as the workflow's are. Seconds of the processor, for other work on the machine does not count in them:
the client's and the job's. What the server imports it imports once; that stands below. Linux alone.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

from m3ae.cli.warm.client import ADDRESS
from m3ae.records import processor

CHECKOUT = Path(__file__).parents[1]
PAIRS = 9
RUN = ["--run", "micro"]
JOBS = {
    "held-out errors of a model (torch)": ["heldout", "--model", "m3ae-b100", *RUN],
    "two more probes of a model (torch, scikit-learn)": ["probes", "--model", "m3ae-b100", *RUN],
    "a chart (pandas, seaborn)": ["figure", "figure3", *RUN],
}


@contextmanager
def server(folder: Path) -> Iterator[psutil.Process]:
    """A warm server, ready."""
    address = folder / "warm"
    ends, held = os.pipe()  # it lives as long as somebody could write
    with subprocess.Popen([sys.executable, "-m", "m3ae.cli.warm", str(address)], stdin=ends) as process:
        try:
            while not address.exists():
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            os.close(held)
            os.close(ends)


def spent(process: psutil.Process) -> float:
    """Processor seconds of the children that have ended."""
    times = process.cpu_times()
    return times.children_user + times.children_system


def job(words: list[str], folder: Path, warm: psutil.Process | None) -> float:
    """Processor seconds of one job, those of its client among them."""
    us = psutil.Process()
    watched = [us, warm] if warm else [us]
    before = sum(map(spent, watched))
    env = {**os.environ, ADDRESS: str(folder / "warm") if warm else ""}
    subprocess.run(
        [sys.executable, "-m", "m3ae.cli", *words], cwd=folder, env=env, check=True, capture_output=True
    )
    return sum(map(spent, watched)) - before


def make_run(folder: Path) -> None:
    """A run `micro` with all that the jobs read."""
    script = CHECKOUT / "tests/whole_chain.py"
    subprocess.run([sys.executable, script, "1"], cwd=folder, check=True, capture_output=True)


def ratio(cold: np.ndarray, warm: np.ndarray) -> str:
    """Median of the pairs' ratios, and its 95 % bootstrap interval."""
    ratios = warm / cold
    draws = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Print the table."""
    print("# Jobs that start warm\n")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, ", end="")
    print(f"torch {version('torch')}.\n\n    python benchmarks/warm.py\n")
    print(
        f"Processor seconds of a job, medians of {PAIRS} pairs, cold and warm by turns; the median ratio of"
    )
    print("the pairs with its 95 % bootstrap interval.\n")
    print("| job | cold (s) | warm (s) | warm / cold |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_run(folder)
        with server(folder) as warm:
            own = warm.cpu_times()
            for title, words in JOBS.items():
                times = np.array(
                    [[job(words, folder, None), job(words, folder, warm)] for _ in range(PAIRS + 1)]
                )[1:]
                cold, hot = np.median(times, axis=0)
                print(f"| {title} | {cold:.2f} | {hot:.2f} | {ratio(*times.T)} |", flush=True)
    print(f"\nThe server's own imports: {own.user + own.system:.1f} s, once in a workflow.")


if __name__ == "__main__":
    main()
