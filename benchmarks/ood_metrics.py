"""Detection metrics of 50,000 + 50,000 scores beside pytorch-ood's, and the time of bootstrap intervals.

    python benchmarks/ood_metrics.py > benchmarks/results/ood_metrics.md

Both get the same scores in memory and run in pairs, in one process; what counts is the ratio of each pair.
Both have one thread: in a trial with two, on a machine with two busy cores, one row of torch's took fifty
times as long.
pytorch-ood's ``OODMetrics`` gives the area under the precision-recall curve by trapezoids and takes "out" as
positive in FPR@95, so that these numbers differ by definition; its AUROC is compared. It also computes AUTC.
"""

import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch

from m3ae.evaluate.detect.metrics import detection, interval_of_detection
from m3ae.records import processor
from m3ae.torchvision_ops import make_importable

ITEMS, PAIRS = 50_000, 60
INTERVALS = [(2_000, 2_000), (10_000, 10_000)]  # items on each side, draws


def made_scores(items: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normal distributions, one standard deviation apart; few decimals make ties."""
    rng = np.random.default_rng(0)
    scores = [rng.normal(mean, 1, items).round(decimals).astype(np.float32) for mean in (1, 0)]
    return scores[0], scores[1]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compared(scores_in: np.ndarray, scores_out: np.ndarray) -> tuple[np.ndarray, float]:
    """Seconds of ours and theirs in interleaved pairs, and how far apart the AUROCs are."""
    make_importable()
    from pytorch_ood.metrics import OODMetrics

    outlier = torch.from_numpy(-np.concatenate([scores_in, scores_out]))
    labels = torch.from_numpy(np.repeat([0, -1], [len(scores_in), len(scores_out)]))

    def ours() -> float:
        return detection(scores_in, scores_out).auroc

    def theirs() -> float:
        return OODMetrics().update(outlier, labels).compute()["AUROC"]

    apart = abs(ours() - theirs())
    works = [ours, theirs]
    times = np.zeros((PAIRS, 2))
    for pair in range(PAIRS):
        for which in (pair % 2, 1 - pair % 2):
            times[pair, which] = seconds(works[which])
    return times, apart


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print("# Detection metrics\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "pytorch-ood"))
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, {versions},")
    print("one thread.\n")
    print("    python benchmarks/ood_metrics.py\n")
    print(f"{ITEMS:,} + {ITEMS:,} scores; medians of {PAIRS} interleaved pairs, and the median ratio of wall")
    print("times (theirs / ours; above 1 ours is faster) with its 95 % bootstrap interval.\n")
    print("| scores | ours (ms) | pytorch-ood (ms) | ratio | AUROCs apart |\n|---|---|---|---|---|")
    for name, decimals in (("all different (nearly)", 7), ("many ties (3 decimals)", 3)):
        times, apart = compared(*made_scores(ITEMS, decimals))
        ratios = times[:, 1] / times[:, 0]
        draws = np.median(np.random.default_rng(0).choice(ratios, (2000, PAIRS)), axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        ours, theirs = 1e3 * np.median(times, axis=0)
        ratio = f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ratio} | {apart:.0e} |", flush=True)
    print("\n| intervals of all four metrics | seconds |\n|---|---|")
    for items, num_draws in INTERVALS:
        scores = made_scores(items, 7)
        took = seconds(lambda scores=scores, n=num_draws: interval_of_detection(*scores, n, 0.95, 0))
        print(f"| {items:,} + {items:,} scores, {num_draws:,} draws | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
