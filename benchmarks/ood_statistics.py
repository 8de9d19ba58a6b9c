"""Memory and time of the streamed statistics at the size of ImageNet: 1.28 million x 1024 features.

    python benchmarks/ood_statistics.py > benchmarks/results/ood_statistics.md

Synthetic float32 features of 1000 classes of unequal size, in random order, made batch by batch. A process of
its own reads all of them; if a trial of 65,536 images says that this would take over 3 minutes, it reads as
many as fit, and the table names both numbers. Peak memory does not depend on the number of images, and is
that of the whole process, Python and libraries included. A smaller set is compared with two
passes. Linux alone.
"""

import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from m3ae.evaluate.detect.fitted import BATCH
from m3ae.evaluate.detect.statistics import Statistics, collect
from m3ae.evaluate.scores import fit_gaussians
from m3ae.records import processor

IMAGES, WIDTH, CLASSES = 1_281_167, 1024, 1000
TRIAL, LIMIT_S, LIMIT_GIB = 65_536, 180, 4
COMPARED = 40_000


def made_labels(images: int) -> np.ndarray:
    """Labels in random order; class sizes differ by up to a factor of two, as in ImageNet."""
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.7, 1.3, CLASSES)
    return rng.choice(CLASSES, images, p=shares / shares.sum())


def made_batches(labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features around class centres, with a common offset that is large beside their spread."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((CLASSES, WIDTH), np.float32) + np.float32(20)
    for start in range(0, len(labels), BATCH):
        classes = labels[start : start + BATCH]
        yield centres[classes] + rng.standard_normal((len(classes), WIDTH), np.float32), classes


def measured(images: int) -> tuple[Statistics, float]:
    """Statistics of so many images, and the wall time of making and reading them."""
    labels, began = made_labels(images), time.perf_counter()
    found = collect(made_batches(labels), np.bincount(labels, minlength=CLASSES))
    return found, time.perf_counter() - began


def in_this_process(images: int) -> dict[str, float]:
    """Wall time and this process's peak of resident memory."""
    found, took = measured(images)
    rank = found.gaussians().rank  # with the eigenvectors, as the scores need them
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": took, "gib": peak, "rank": rank}


def in_a_process(images: int) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, str(images)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    return found


def farthest_from_two_passes() -> tuple[float, float]:
    """Largest relative difference to two passes over images in memory: means, and the shared precision."""
    labels = made_labels(COMPARED)
    streamed = collect(made_batches(labels), np.bincount(labels, minlength=CLASSES)).gaussians()
    x = np.concatenate([part for part, _ in made_batches(labels)])
    held = fit_gaussians(x, labels)
    precisions = [fit.whitening @ fit.whitening.T for fit in (streamed, held)]
    apart = np.abs(precisions[0] - precisions[1]).max() / np.abs(precisions[1]).max()
    return float(np.abs(streamed.means / held.means - 1).max()), float(apart)


def main() -> None:
    """Print the table."""
    trial = in_a_process(TRIAL)
    images = min(IMAGES, int(TRIAL * LIMIT_S / trial["seconds"]))
    whole = in_a_process(images)
    means, precision = farthest_from_two_passes()
    print("# Statistics of 1.28 million features\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, {versions}.\n")
    print("    python benchmarks/ood_statistics.py\n")
    print(f"{CLASSES} classes, {WIDTH} float32 numbers an image, {BATCH:,} images a batch; a process each.")
    print(f"The time includes making the features. The goal: {IMAGES:,} images in under {LIMIT_GIB} GiB.\n")
    print("| images | seconds | peak resident memory (GiB) |\n|---|---|---|")
    for number, row in ((TRIAL, trial), (images, whole)):
        print(f"| {number:,} | {row['seconds']:.0f} | {row['gib']:.2f} |")
    if images < IMAGES:
        print(f"\nReduced from {IMAGES:,}, which would take over {LIMIT_S} s on this machine.")
    print(f"\nAgainst two passes over {COMPARED:,} images in memory, largest relative differences: class")
    print(f"means {means:.0e}, inverse of the shared covariance {precision:.0e}.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(in_this_process(int(sys.argv[1]))))
    else:
        main()
