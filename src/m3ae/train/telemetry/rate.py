"""What a device could compute, and the share of it that a training uses."""

import statistics
import time
from collections.abc import Sequence

import torch

from m3ae.train.telemetry.cards import peak_of


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Dense peak of a device in FLOP/s, as its maker states it; None where that is not known here.

    ``precision`` is `fp32` (no TF32), `tf32` or `bf16`.
    """
    return peak_of(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None


def matmul_rate(shapes: Sequence[tuple[int, int, int]], precision: str, seconds: float) -> float:
    """Measured rate of matrix products on the processor (FLOP/s), with as many threads as torch has now.

    Multiplies (m, k) by (k, n) for each (m, k, n) of ``shapes``, for about ``seconds`` in all, and takes the
    median time of each. Shapes weigh as much as the work they are. ``precision`` is `fp32` or `bf16`.
    """
    flops = sum(2 * m * k * n for m, k, n in shapes)
    return flops / sum(matmul_seconds(*shape, precision, seconds / len(shapes)) for shape in shapes)


def matmul_seconds(m: int, k: int, n: int, precision: str, seconds: float) -> float:
    """Median time of one product, repeated for about ``seconds``; at least three times, after two others."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    numbers = torch.Generator().manual_seed(0)  # the training's own are left alone
    left = torch.randn(m, k, generator=numbers).to(dtype)
    right = torch.randn(k, n, generator=numbers).to(dtype)
    product = torch.empty(m, n, dtype=dtype)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        torch.mm(left, right, out=product)
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def mfu(flops: float, seconds: float, rate: float) -> float:
    """Model FLOPs utilisation: ``flops`` computed in ``seconds``, as a share of ``rate`` (FLOP/s).

    The operations are those that the losses and their gradients need (Chowdhery et al. 2022, app. B): what
    activation checkpointing computes a second time does not count. ``rate`` is the dense peak of the
    accelerators or, on a processor, the rate that matrix products reach there.
    """
    return flops / (seconds * rate)
