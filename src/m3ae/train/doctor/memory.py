"""How much memory a step takes: the model's state, and what two small passes keep for the way back."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from m3ae.model.blocks import Block
from m3ae.train.doctor.trial import Trial, smallest_step
from m3ae.train.doctor.units import GIB

STATE_BYTES = 16  # of a parameter: value, gradient and two moments in fp32
# What a process takes beside what is counted. With these the estimate was 4 % too low to 11 % too high: the
# paper's B on a processor, 16 and 48 samples, fp32 and bf16; recomputed in fp32.
SPARE, SPARE_RECOMPUTED, OVERHEAD = 1.3, 2.3, GIB // 2
SMALL, SMALL_MIXED = 2, 4  # samples of the smaller of two passes


class Saved(NamedTuple):
    """Bytes that a forward pass keeps for its backward pass, parameters apart."""

    everything: int
    recomputed: int
    """With activation checkpointing: what lies outside the blocks, every block's input, the largest block."""


@dataclass(frozen=True)
class Memory:
    """What a step needs: bytes that do not depend on the batch, and bytes for each sample of a pass."""

    state: int
    fixed: int
    per_sample: float
    fixed_recomputed: int
    per_sample_recomputed: float

    def saved(self, samples: int, recompute: bool = False) -> float:
        """Bytes that a pass of ``samples`` samples keeps for its backward pass."""
        if recompute:
            return self.fixed_recomputed + self.per_sample_recomputed * samples
        return self.fixed + self.per_sample * samples

    def needed(self, samples: int, recompute: bool = False) -> float:
        """Bytes of a training whose passes have ``samples`` samples, with something to spare."""
        spare = SPARE_RECOMPUTED if recompute else SPARE
        return self.state + OVERHEAD + spare * self.saved(samples, recompute)

    def largest(self, free: float, recompute: bool = False) -> int:
        """The most samples of a pass that fit into ``free`` bytes; 0 if none does."""
        none = self.needed(0, recompute)
        return max(0, int((free - none) / (self.needed(1, recompute) - none)))


def measure_memory(trial: Trial) -> Memory:
    """Take two passes of different size, full captions, and draw the line through them."""
    kinds = smallest_step(trial.mixture)
    small = SMALL if kinds == 1 else SMALL_MIXED * kinds
    first, second = (saved_bytes(trial, size) for size in (small, 2 * small))
    slopes = [(more - few) / small for few, more in zip(first, second, strict=True)]
    fixed = [max(0, round(few - slope * small)) for few, slope in zip(first, slopes, strict=True)]
    state = STATE_BYTES * sum(p.numel() for p in trial.model.parameters())
    return Memory(state, fixed[0], slopes[0], fixed[1], slopes[1])


def saved_bytes(trial: Trial, samples: int) -> Saved:
    """Bytes that one pass of ``samples`` samples keeps. The trial must not recompute or compile blocks."""
    part = trial.noise(samples)
    with watch(trial) as kept:
        loss = trial.loss(part, samples)
    saved, inputs = kept
    everything = {place: size for places in saved.values() for place, size in places.items()}
    outside = saved.pop(None, {})
    blocks = [sum(places.values()) for places in saved.values()]
    del loss  # until here its graph holds the tensors, so that no two of them share a place
    return Saved(sum(everything.values()), sum((inputs | outside).values()) + max(blocks, default=0))


Places = dict[int, int]
"""Bytes of each storage, by its address."""


@contextmanager
def watch(trial: Trial) -> Iterator[tuple[dict[Block | None, Places], Places]]:
    """Note what is saved for the backward pass: by block (None: outside all), and every block's inputs."""
    parameters = {p.untyped_storage().data_ptr() for p in trial.model.parameters()}
    saved: dict[Block | None, Places] = defaultdict(dict)
    inputs: Places = {}
    inside: list[Block] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[inside[-1] if inside else None][storage.data_ptr()] = storage.nbytes()
        return tensor

    def enter(block: Any, arguments: tuple[Any, ...]) -> None:
        inside.append(block)
        for tensor in arguments:
            if isinstance(tensor, Tensor):
                inputs[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()

    def leave(block: Any, arguments: tuple[Any, ...], output: Any) -> None:
        inside.pop()

    with ExitStack() as stack:
        for module in trial.model.modules():
            if isinstance(module, Block):
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor))
        yield saved, inputs
