"""Batches of augmented images, epoch by epoch, for heads whose encoder runs again in each."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from m3ae.errors import UserError

Batch = tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]
"""Normalised, augmented images with their classes."""
EpochsOf = Callable[[int], Iterable[Batch]]
"""The whole batches of a 0-based epoch, in its own order and augmentation."""


class Steps(NamedTuple):
    """How a training set falls into steps: an incomplete last batch is dropped, a small set is one batch."""

    batch_size: int
    per_epoch: int

    @classmethod
    def of(cls, num_train: int, batch_size: int) -> "Steps":
        """The steps of an epoch of ``num_train`` images."""
        batch_size = min(batch_size, num_train)
        return cls(batch_size, num_train // batch_size)

    def batches(self, epochs_of: EpochsOf, epochs: int) -> Iterator[tuple[int, Batch]]:
        """Every step's number and batch. Raises UserError if an epoch is not of the promised batches."""
        for epoch in range(epochs):
            count = 0
            for images, classes in epochs_of(epoch):
                if len(images) != self.batch_size or count == self.per_epoch:
                    raise UserError(self.complaint(epoch, f"batch {count} of {len(images)} images"))
                yield epoch * self.per_epoch + count, (images, classes)
                count += 1
            if count != self.per_epoch:
                raise UserError(self.complaint(epoch, f"{count} batches"))

    def complaint(self, epoch: int, got: str) -> str:
        """What is wrong with an epoch."""
        return (
            f"epoch {epoch}: expected {self.per_epoch} batches of {self.batch_size} images, got {got}; "
            "give whole batches alone, and num_train as the set has it"
        )
