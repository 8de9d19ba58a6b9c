"""Loading a ViT-L training checkpoint of the authors' layout: 4.5 GB of weights and both Adam moments.

    python benchmarks/load_release.py > benchmarks/results/load_release.md

Writes such a file (random numbers, in a temporary folder that goes afterwards), and loads it with
``m3ae.load_pretrained`` in fresh processes, each measured from its start: imports, reading, building. The
bound is 60 s and 4 GiB of resident memory at its peak (VmHWM: ru_maxrss would count the parent's too).
Python's own unpickler would hold all 4.5 GB at once. Linux alone.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the writer of such files is the tests'

import numpy as np

from m3ae.model.architecture import Architecture
from m3ae.records import processor
from release_files import authors_params, checkpoint, dump, from_one_pool

VIT_L = Architecture(width=1024, depth=24, num_heads=16)
RUNS = 3
SECONDS, GIBIBYTES = 60, 4

LOAD = r"""
import re, sys, time
began = time.perf_counter()
import m3ae
imported = time.perf_counter()
model = m3ae.load_pretrained(sys.argv[1])
loaded = time.perf_counter()
peak = int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) / 2**20
parameters = sum(p.numel() for p in model.parameters())
print(loaded - began, peak, parameters)
"""


def write_checkpoint(path: Path) -> None:
    """A training checkpoint as the authors' code writes it."""
    variant = {"m3ae.model_type": "large", "text_loss_weight": 0.5}
    params = authors_params(VIT_L, seed=0, array=from_one_pool(VIT_L, seed=0))
    with path.open("wb") as file:
        dump(checkpoint(params, variant, moment=np.ndarray.view), file)


def load(path: Path) -> tuple[float, float, int]:
    """Seconds, peak memory (GiB) and parameters of one load in a process of its own."""
    output = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(output[0]), float(output[1]), int(output[2])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        write_checkpoint(path)
        size = path.stat().st_size
        runs = [load(path) for _ in range(RUNS)]
    seconds, peaks = [run[0] for run in runs], [run[1] for run in runs]
    print("# Loading a ViT-L training checkpoint of the authors' layout\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, {versions}.")
    weights = 4 * runs[0][2]  # fp32
    print(
        f"The file holds {size / 1e9:.2f} GB: weights {weights / 1e9:.2f} GB ({runs[0][2] / 1e6:.1f} M "
        f"parameters), Adam's moments {(size - weights) / 1e9:.2f} GB."
    )
    print(f"{RUNS} fresh processes, import to model. The page cache could not be dropped, the file had just")
    print("been written: a cold disk adds the time to read the weights.\n")
    print("| | median | min | max | bound |\n|---|---|---|---|---|")
    for name, values, bound in (("seconds", seconds, SECONDS), ("peak memory (GiB)", peaks, GIBIBYTES)):
        cells = f"{statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f}"
        print(f"| {name} | {cells} | {bound} |")


if __name__ == "__main__":
    main()
