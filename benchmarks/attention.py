"""Attention on a processor: torch's fused kernel against two matrix products, forward and backward.

    python benchmarks/attention.py > benchmarks/results/attention.md

Both run side by side in one process, interleaved; what counts is the ratio of each pair. This decides
``SHORT`` in src/m3ae/model/blocks.py.
"""

import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from m3ae.model.blocks import matrix_products
from m3ae.records import processor

PAIRS = 30
SHAPES = [  # batch, heads, tokens, dim of a head: encoder and decoder of `photos`, then of `paper`'s B
    (128, 6, 23, 32),
    (128, 3, 89, 32),
    (32, 6, 128, 32),
    (16, 12, 81, 64),
    (16, 16, 321, 32),
]


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, is_key: torch.Tensor) -> torch.Tensor:
    """torch's own kernel."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=is_key)


def seconds(
    function: Callable[..., torch.Tensor], tensors: list[torch.Tensor], is_key: torch.Tensor
) -> float:
    """One forward and backward pass."""
    for tensor in tensors:
        tensor.grad = None
    began = time.perf_counter()
    function(*tensors, is_key).sum().backward()
    return time.perf_counter() - began


def ratio(shape: tuple[int, int, int, int], dtype: torch.dtype) -> tuple[float, float, float]:
    """Fused over products: median of the pairs' ratios, and its 95 % bootstrap interval."""
    batch, _, tokens, _ = shape
    is_key = torch.arange(tokens).expand(batch, 1, 1, tokens) < tokens - 5
    tensors = [torch.randn(shape).to(dtype).requires_grad_() for _ in range(3)]
    for function in (fused, matrix_products):
        seconds(function, tensors, is_key)  # warm-up
    ratios = np.array(
        [seconds(fused, tensors, is_key) / seconds(matrix_products, tensors, is_key) for _ in range(PAIRS)]
    )
    draws = np.median(np.random.default_rng(0).choice(ratios, (2000, PAIRS)), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("# Attention on a processor: time of torch's fused kernel over that of two matrix products\n")
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, 1 thread, {versions}.")
    print(f"Median and 95 % interval of {PAIRS} interleaved pairs; above 1 the matrix products are faster.\n")
    print("| batch | heads | tokens | dim | fp32 | bf16 |\n|---|---|---|---|---|---|")
    for shape in SHAPES:
        cells = [
            "{:.2f} [{:.2f}, {:.2f}]".format(*ratio(shape, dtype))
            for dtype in (torch.float32, torch.bfloat16)
        ]
        print("| " + " | ".join([*map(str, shape), *cells]) + " |")


if __name__ == "__main__":
    main()
