"""How a rank takes its rows of a step through its device: in one pass, or in several that fit it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from m3ae.data.stream.mixture import Counts, rows_of
from m3ae.errors import UserError
from m3ae.train.machine import Machine
from m3ae.train.part import even_slices


class Passes(NamedTuple):
    """Passes of a step, as many at every rank."""

    number: int = 1
    with_passages: int = 1
    """How many of them, from the first, have passages where the step has any."""


def passes_of(counts: Counts, world: int, most: int | None) -> Passes:
    """As few passes as leave at most ``most`` of the step's samples in each; every one has an image.

    Raises UserError if there are too few images for that.
    """
    fewest_images = counts.pairs // world + counts.images // world

    def in_passes(count: int) -> Passes:
        return Passes(count, min(count, max(counts.texts // world, 1)))

    if most is None:
        return in_passes(1)
    count = min(math.ceil(sum(counts) / world / most), fewest_images)
    while (largest := largest_pass(counts, world, in_passes(count))) > most and count < fewest_images:
        count += 1
    if largest > most:
        raise UserError(
            f"--device-batch: expected at least {largest}, since every pass has an image, and a step has "
            f"{counts.pairs + counts.images} images beside {counts.texts} passages, got {most}; raise it, or "
            "take more devices, or --recompute to save memory"
        )
    return in_passes(count)


def largest_pass(counts: Counts, world: int, passes: Passes) -> int:
    """The most samples that a pass has at any rank."""
    return max(max(sizes_of(counts, rank, world, passes)) for rank in range(world))


def sizes_of(counts: Counts, rank: int, world: int, passes: Passes) -> list[int]:
    """The samples of each of a rank's passes."""
    pairs, images, texts = (
        rows.stop - rows.start for rows in (rows_of(0, count, rank, world) for count in counts)
    )
    sizes = [rows.stop - rows.start for rows in even_slices(pairs + images, passes.number)]
    for number, rows in enumerate(even_slices(texts, passes.with_passages)):
        sizes[number] += rows.stop - rows.start
    return sizes


@contextmanager
def in_memory(name: str, machine: Machine) -> Iterator[None]:
    """Say in one line that a GPU's memory is too small, and what to do."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        now = f"now {machine.device_batch}" if machine.device_batch else "now its whole share of the batch"
        also = "" if machine.recompute else ", or add --recompute"
        raise UserError(
            f"{name}: expected room for a step on the GPU, its memory is full "
            f"({str(error).splitlines()[0][:200]}); lower --device-batch ({now}){also}, then run the command "
            "again: it goes on from its last checkpoint. m3ae doctor says what fits"
        ) from None
