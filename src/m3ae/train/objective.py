"""What is minimised: what every method's objective has, and what it gives for a part of a step."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from m3ae.config.data import Image
from m3ae.data.stream.mixture import Counts


class Normaliser(nn.Module):
    """Bytes to normalised values on the device: (x / 255 - mean) / std per channel."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(image.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(image.std).view(3, 1, 1), persistent=False)

    def forward(self, image: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalise a batch."""
        return image.float().sub_(self.get_buffer("mean")).div_(self.get_buffer("std"))


class RowErrors(NamedTuple):
    """The loss of each row of a part, without gradient: to name those that are not finite."""

    images: Float[Tensor, " batch"]
    captions: Float[Tensor, " batch"] | None = None
    passages: Float[Tensor, " passages"] | None = None


class PartLosses(NamedTuple):
    """Losses of a part. Sums over its rows, divided by the whole step's count: parts and ranks add up."""

    loss: Float[Tensor, ""]
    named: dict[str, Tensor]
    """The terms of the loss by their name in the step log, without their weights."""
    rows: RowErrors


class Objective(nn.Module, ABC):
    """A model with the loss that a step minimises; one for each method (`method.py`)."""

    model: Any

    def __init__(self, model: nn.Module, normalise: Normaliser) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def begin_step(self) -> None:
        """What the parameters need before a step; with FSDP they are this rank's parts here, which last."""

    def read(self, counts: Counts) -> Counts:
        """The samples of a step that are read at all."""
        return counts._replace(texts=0)

    @abstractmethod
    def split(self, batch: Any, parts: int = 1, with_passages: int = 1) -> list[Any]:
        """Cut the rows of a batch, on the host, into parts of nearly equal size."""

    @abstractmethod
    def flops(self, parts: list[Any]) -> float:
        """FLOPs of a forward and backward pass over the parts, from their shapes alone."""

    @abstractmethod
    def forward(self, part: Any, counts: Counts) -> PartLosses:
        """Losses of a part of a step that has ``counts`` samples over all ranks."""
