"""Rows of a step that a device takes in one pass, on their way from the host."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from m3ae.model.words import Words


@dataclass(frozen=True)
class Part:
    """What all methods have in common: images, and ways to move everything that belongs to them."""

    image: UInt8[Tensor, "batch 3 height width"]

    def each(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The part with every tensor through ``function``."""
        return type(self)(*(through(function, getattr(self, field.name)) for field in fields(self)))

    def to(self, device: torch.device) -> Self:
        """The part on a device; from pinned memory the copy does not wait."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Self:
        """The part in memory that a GPU can copy from by itself."""
        return self.each(Tensor.pin_memory)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the part's memory until ``stream`` is done with it."""

        def record(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        self.each(record)


@dataclass(frozen=True)
class MaskedPart(Part):
    """For masked autoencoders: images with their words, and passages."""

    image_order: Int[Tensor, "batch patches"]
    words: Words | None
    passages: Words | None


@dataclass(frozen=True)
class PairPart(Part):
    """For CLIP: images with a caption each, cut behind the longest one."""

    text: Int[Tensor, "batch words"]
    padding: Bool[Tensor, "batch words"]


@dataclass(frozen=True)
class LabelledPart(Part):
    """For supervised training: images, each with two classes and the share of the first (mixup, CutMix)."""

    label: Int[Tensor, " batch"]
    partner: Int[Tensor, " batch"]
    share: Float[Tensor, " batch"]


def through(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A tensor, or a tuple of tensors, through ``function``; None stays None."""
    if isinstance(value, tuple):
        return type(value)(*map(function, value))
    return None if value is None else function(value)


def even_slices(count: int, parts: int) -> list[slice]:
    """``count`` rows in ``parts`` runs, whose lengths differ by one at most."""
    return [slice(part * count // parts, (part + 1) * count // parts) for part in range(parts)]
