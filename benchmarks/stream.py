"""The stream at the size of CC12M: how fast it goes on, what its order costs, how much memory it takes.

    python benchmarks/stream.py

Prints the tables and writes them to benchmarks/results/stream.md. The data set is synthetic: an index and
tokens of 12 million samples (16 word pieces each) whose rows point at the same 23 small pictures, in a
temporary folder that goes afterwards. Each figure is measured in fresh processes. Linux alone (PSS).
"""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the maker of such data is the tests'

from m3ae.records import processor
from synthetic import make_large

HERE = Path(__file__).absolute().parent
NUM_SAMPLES, POSITION, BATCH, RUNS, EPOCH = 12_000_000, 10_000_000, 64, 5, 2_000
MIB = 2**20

COMMON = """
import sys, time
import numpy as np, psutil, torch
from m3ae.config import load_run
from m3ae.data.stream.keyed import SHUFFLE
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.order import locate
from m3ae.data.stream.stream import Stream
torch.set_num_threads(1)
run = load_run("micro")
def processes():
    me = psutil.Process()
    return [me, *me.children(recursive=True)]
"""
GO_ON = """
workers, step, batch = map(int, sys.argv[1:4])
began = time.perf_counter()
stream = Stream(run, "m3ae-b100")
opened = time.perf_counter()
batches = load_steps(stream, batch, step, step + 1000, workers)
next(batches)
print(opened - began, time.perf_counter() - began)
"""
ORDER = """
num, size = map(int, sys.argv[1:3])
locate(np.arange(num), size, 42, SHUFFLE)
repeats, position = max(1, 2_000_000 // num), 10_000_000
began = time.perf_counter()
for start in range(position, position + repeats * num, num):
    locate(np.arange(start, start + num), size, 42, SHUFFLE)
print((time.perf_counter() - began) / repeats)
"""
MEMORY = """
class Toucher(Stream):
    # Every process reads every page of index and tokens: the state after a long training.
    def step(self, *args):
        sum(int(column.sum()) for column in self.pairs.index)
        self.tokens.counts()
        return super().step(*args)
    def __reduce__(self):
        return Toucher, (self.run, self.model)
start = psutil.Process().memory_full_info()
batches = load_steps(Toucher(run, "m3ae-b100"), 64, 0, 10**6, int(sys.argv[1]))
for _ in range(2 * int(sys.argv[1])):
    next(batches)
time.sleep(5)  # the workers have made what they may make ahead
full = [process.memory_full_info() for process in processes()]
print(len(full), start.pss, sum(m.pss for m in full), sum(m.rss for m in full))
"""
GROWTH = """
workers, steps = map(int, sys.argv[1:3])
batches, memory = load_steps(Stream(run, "m3ae-b100"), 50, 0, 13 * steps, workers), []
for number, _ in enumerate(batches, 1):
    if number % steps == 0 and number <= 12 * steps:
        memory.append(sum(process.memory_info().rss for process in processes()))
print(*memory)
"""


def measure(code: str, *arguments: int) -> list[float]:
    """The numbers that a fresh process prints."""
    command = [sys.executable, "-W", "ignore", "-c", COMMON + code, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [float(word) for word in done.stdout.split()]


def going_on() -> list[str]:
    """Time to the first batch at a far position."""
    lines = [
        f"## Going on at position {POSITION:,} of {NUM_SAMPLES:,}\n",
        "Imports done; opening (checksum of the index included), starting workers, and the first batch.\n",
        "| workers | opening (s) | first batch after (s) | worst | bound |\n|---|---|---|---|---|",
    ]
    runs: dict[int, list[list[float]]] = {0: [], 1: [], 4: []}
    for _ in range(RUNS):  # interleaved
        for workers, seconds in runs.items():
            seconds.append(measure(GO_ON, workers, POSITION // BATCH, BATCH))
    for workers, seconds in runs.items():
        opening, first = ([run[i] for run in seconds] for i in (0, 1))
        medians = f"{statistics.median(opening):.2f} | {statistics.median(first):.2f}"
        lines.append(f"| {workers} | {medians} | {max(first):.2f} | 2 |")
    return lines


def order() -> list[str]:
    """What the order costs."""
    lines = [
        "\n## The order, one process\n",
        "| positions in one call | of | time (ms) | positions per second |\n|---|---|---|---|",
    ]
    for num, size in ((64, NUM_SAMPLES), (4096, NUM_SAMPLES), (4096, 10**12)):
        seconds = measure(ORDER, num, size)[0]
        lines.append(f"| {num} | {size:,} | {1e3 * seconds:.2f} | {num / seconds / 1e6:.2f} M |")
    return lines


def memory(folder: Path) -> list[str]:
    """What all processes take together, once each has read every page."""
    files = [folder / "data/micro/shards/train/index.arrow", folder / "data/micro/tokens/train.arrow"]
    index, tokens = (path.stat().st_size / MIB for path in files)
    processes, alone, pss, rss = measure(MEMORY, 4)
    return [
        "\n## Memory of one rank with 4 workers, every page of index and tokens read by every process\n",
        f"Index {index:.0f} MiB, tokens {tokens:.0f} MiB. PSS counts a page that n processes share as 1/n in",
        "each: its sum is what the machine gives. RSS counts it n times.\n",
        "| processes | one process before it opens anything (PSS, MiB) | all together (PSS, MiB) | bound "
        "| sum of RSS (MiB) |\n|---|---|---|---|---|",
        f"| {processes:.0f} | {alone / MIB:.0f} | {pss / MIB:.0f} | 1536 | {rss / MIB:.0f} |",
    ]


def growth() -> list[str]:
    """Memory after epochs 2 and 12."""
    lines = [
        f"\n## Growth over 10 epochs of {EPOCH:,} samples\n",
        "| workers | RSS of all processes after epoch 2 (MiB) | after epoch 12 | growth | bound |",
        "|---|---|---|---|---|",
    ]
    for workers in (0, 4):
        after = [value / MIB for value in measure(GROWTH, workers, EPOCH // 50)]
        change = after[11] - after[1]
        lines.append(f"| {workers} | {after[1]:.1f} | {after[11]:.1f} | {change:+.1f} | 50 |")
    return lines


def machine() -> str:
    """Date, processor, cores, memory and versions."""
    total = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20  # type: ignore[index]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pyarrow"))
    where = (
        f"{processor()}, {os.cpu_count()} cores, {total:.0f} GiB, load {os.getloadavg()[0]:.1f} at the start"
    )
    return (
        f"{time.strftime('%Y-%m-%d')}, {where}, Python {platform.python_version()}, {versions}.\n"
        f"`python benchmarks/stream.py`, batch {BATCH}, {RUNS} fresh processes each. Pictures of 32 px:\n"
        "decoding is measured in loader.md."
    )


def main() -> None:
    """Measure, print and write the tables."""
    lines = ["# The stream at the size of CC12M\n", machine(), ""]
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        make_large(Path(name), NUM_SAMPLES)
        lines += [*going_on(), *order(), *memory(Path(name))]
        os.chdir(HERE)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        make_large(Path(name), EPOCH)
        lines += growth()
        os.chdir(HERE)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (HERE / "results" / "stream.md").write_text(text)


if __name__ == "__main__":
    main()
