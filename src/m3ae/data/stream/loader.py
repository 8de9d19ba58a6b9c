"""Batches of the stream as tensors, made ahead of the step by worker processes if there are any."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from m3ae.data.stream.stream import Batch, Stream


class TensorBatch(NamedTuple):
    """A ``Batch`` as tensors."""

    sample: Int[Tensor, " batch"]
    image: UInt8[Tensor, "batch 3 height width"]
    text: Int[Tensor, "batch words"]
    padding: Bool[Tensor, "batch words"]
    image_order: Int[Tensor, "batch patches"]
    text_order: Int[Tensor, "batch words"]
    passage: Int[Tensor, " passages"]
    passage_text: Int[Tensor, "passages passage_words"]
    passage_padding: Bool[Tensor, "passages passage_words"]
    passage_order: Int[Tensor, "passages passage_words"]

    def to(self, device: torch.device) -> "TensorBatch":
        """The batch on a device; from pinned memory the copy does not wait."""
        return TensorBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Steps(Dataset):
    """The stream as a data set whose items are whole steps."""

    def __init__(self, stream: Stream, batch_size: int) -> None:
        self.stream, self.batch_size = stream, batch_size

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step (0-based)."""
        return self.stream.batch(step * self.batch_size, (step + 1) * self.batch_size)


def load_steps(stream: Stream, batch_size: int, first: int, last: int, workers: int) -> Iterator[TensorBatch]:
    """Batches of the steps ``first`` to ``last`` (exclusive) as tensors, in order."""
    loader = DataLoader(
        Steps(stream, batch_size),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=to_tensors,  # type: ignore[arg-type]  # without batching it gets the item itself
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def to_tensors(batch: Batch) -> TensorBatch:
    """The arrays of a batch as tensors that share their memory."""
    return TensorBatch(*(torch.from_numpy(array) for array in batch))
