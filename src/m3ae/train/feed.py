"""Steps on their way to the device: cut into parts, and copied while the step before computes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from m3ae.data.stream.loader import Tensors
from m3ae.train.part import Part

Fed = tuple[Tensors, list[Part]]
Split = Callable[[Any], Sequence[Part]]


def feed(batches: Iterator[Tensors], split: Split, device: torch.device) -> Iterator[Fed]:
    """Each batch on the host, and its parts on the device, in order."""
    if device.type == "cuda":
        return feed_gpu(batches, split, device)
    return ((batch, list(split(batch))) for batch in batches)


def feed_gpu(batches: Iterator[Tensors], split: Split, device: torch.device) -> Iterator[Fed]:
    """As ``feed``, one step ahead: copies run in a stream of their own, beside the step's kernels."""
    copies = torch.cuda.Stream(device)
    ahead: Fed | None = None
    for batch in batches:
        pinned = [part.pinned() for part in split(batch)]
        with torch.cuda.stream(copies):
            coming = batch, [part.to(device) for part in pinned]
        if ahead is not None:
            yield arrived(ahead, copies)
        ahead = coming
    if ahead is not None:
        yield arrived(ahead, copies)


def arrived(fed: Fed, copies: torch.cuda.Stream) -> Fed:
    """Let the step's stream wait for the copies, and keep their memory until the step is done with it."""
    compute = torch.cuda.current_stream()
    compute.wait_stream(copies)
    for part in fed[1]:
        part.record_stream(compute)
    return fed
