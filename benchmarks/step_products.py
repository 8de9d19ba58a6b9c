"""How fast this machine multiplies the matrices of a step: the rate that the step's share is taken of.

    python benchmarks/step_products.py fp32|bf16 mae|m3ae

Prints FLOP/s: the products of every linear layer of the step, forward and both of backward, each shape
repeated, weighted by their work; by the faster of torch's own product and oneDNN's (fp32).
"""

import sys
import time

import torch
from step_worker import BATCH, MAE, PAIRS, THREADS

from m3ae.model.architecture import Architecture
from m3ae.model.cost import visible
from m3ae.model.linear import product

Shape = tuple[int, int, int]
REPEATS = 5
WORDS = 30  # slots of the longest caption; 7 of them visible


def layers(a: Architecture) -> dict[Shape, int]:
    """(rows, width in, width out) of the linear layers, and how often a step has each."""
    words = WORDS if a.has_text else 0
    seen = BATCH * (1 + visible(a.num_patches, a.image_mask_ratio) + visible(words, a.text_mask_ratio))
    every = BATCH * (1 + a.num_patches + words)
    found: dict[Shape, int] = {}
    for rows, width, depth in ((seen, a.width, a.depth), (every, a.decoder_width, a.decoder_depth)):
        inner = a.mlp_ratio * width
        for shape in ((width, 3 * width), (width, width), (width, inner), (inner, width)):
            found[rows, *shape] = depth
    return found


def seconds(shape: Shape, dtype: torch.dtype) -> float:
    """Least time of a layer's three products."""
    rows, wide, narrow = shape
    x, weight, gradient = (
        torch.randn(*size).to(dtype) for size in ((rows, wide), (narrow, wide), (rows, narrow))
    )
    pairs = (
        (x, weight),
        (gradient, weight.T),
        (gradient.T, x.T),
    )  # y, and the gradients of x and of the weight
    ways = [lambda a, b: torch.mm(a, b.T), product][: 2 if dtype == torch.float32 else 1]
    return sum(min(least(way, pair) for way in ways) for pair in pairs)


def least(way, pair: tuple[torch.Tensor, torch.Tensor]) -> float:
    """The fastest of some repetitions."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        way(*pair)
        times.append(time.perf_counter() - began)
    return min(times)


def main(precision: str, what: str) -> None:
    """Print the rate."""
    torch.set_num_threads(THREADS)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    flops = total = 0.0
    with torch.no_grad():
        for shape, depth in layers(MAE if what == "mae" else PAIRS).items():
            rows, wide, narrow = shape
            flops += depth * 3 * 2 * rows * wide * narrow
            total += depth * seconds(shape, dtype)
    print(flops / total)


if __name__ == "__main__":
    main(*sys.argv[1:])
