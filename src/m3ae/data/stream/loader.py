"""Batches of the stream as tensors, made ahead of the step by worker processes if there are any."""

import signal
import threading
import time
from collections.abc import Collection, Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from m3ae.data.stream.labelled import LabelledBatch, LabelledStream
from m3ae.data.stream.mixture import split_batch
from m3ae.data.stream.stream import Batch, Stream
from m3ae.errors import UserError

LOOK_S = 5
"""How often a process that waits looks whether the workers are alive (seconds)."""
PATIENCE_S = 600
"""Longest wait for a batch (seconds): shards behind a network may be slow, but not for ever."""


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


class LabelledTensors(NamedTuple):
    """A ``LabelledBatch`` as tensors."""

    sample: Int[Tensor, " batch"]
    image: UInt8[Tensor, "batch 3 height width"]
    label: Int[Tensor, " batch"]
    partner: Int[Tensor, " batch"]
    share: Float[Tensor, " batch"]

    @property
    def passage(self) -> Int[Tensor, " passages"]:
        """None: what is broken is looked for in passages too."""
        return self.sample[:0]


AnyBatch = Batch | LabelledBatch
AnyStream = Stream | LabelledStream
Tensors = TensorBatch | LabelledTensors


class Failure(NamedTuple):
    """A UserError on its way out of a worker, or about one: torch would make a traceback of the exception."""

    message: str


class Steps(Dataset):
    """The stream as a data set whose items are a rank's rows of whole steps."""

    def __init__(self, stream: AnyStream, batch_size: int, rank: int, world: int) -> None:
        self.stream, self.batch_size, self.rank, self.world = stream, batch_size, rank, world

    def __getitem__(self, step: int) -> AnyBatch | Failure:
        """The batch of one step (0-based)."""
        try:
            return self.stream.step(step, self.batch_size, self.rank, self.world)
        except UserError as error:
            return Failure(str(error))


def load_steps(
    stream: AnyStream,
    batch_size: int,
    first: int,
    last: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
    start_method: str | None = None,
) -> Iterator[Any]:
    """A rank's rows of the steps ``first`` to ``last`` (exclusive) as tensors, in order.

    ``batch_size`` is global. Neither the number of workers nor how they are started (``fork``, ``spawn``;
    the system's way if not said) changes a byte. Raises UserError, one line, for a sample that cannot be
    read, and where a worker has died or hangs.
    """
    split_batch(batch_size, stream.recipe.mixture, world)  # what is wrong with it is said before any start
    handler, others = signal.getsignal(signal.SIGCHLD), set(active_children())
    batches = iter(
        DataLoader(
            Steps(stream, batch_size, rank, world),
            batch_size=None,
            sampler=range(first, last),
            num_workers=workers,
            collate_fn=to_tensors,  # type: ignore[arg-type]  # without batching it gets the item itself
            pin_memory=torch.cuda.is_available(),
            timeout=LOOK_S if workers else 0,
            multiprocessing_context=start_method if workers else None,
            worker_init_fn=leave_signals if workers else None,
        )
    )
    if workers and threading.current_thread() is threading.main_thread():
        # torch's handler would raise wherever the main thread is when a worker dies, in a step or while it
        # saves. Without it the death is noticed where the worker's batch is missing.
        signal.signal(signal.SIGCHLD, handler)
    return in_one_line(batches, set(active_children()) - others)


def leave_signals(_: int) -> None:
    """A request to stop may reach every process of a job; only the trainer says when its workers end."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def in_one_line(batches: Iterator[Tensors | Failure], workers: Collection[BaseProcess]) -> Iterator[Tensors]:
    """The batches; what went wrong in a worker as a UserError."""
    while (batch := next_of(batches, workers)) is not None:
        if isinstance(batch, Failure):
            del batches  # its workers end now: once only a traceback holds it, torch waits 5 s for each
            raise UserError(batch.message)
        yield batch


def next_of(
    batches: Iterator[Tensors | Failure], workers: Collection[BaseProcess]
) -> Tensors | Failure | None:
    """The next batch, None after the last; a Failure, too, if its worker is dead or silent for too long."""
    asked = time.monotonic()
    while True:
        try:
            return next(batches, None)
        except (ConnectionError, EOFError) as error:  # it died while it handed over a batch
            return worker_died(error)
        except RuntimeError as error:
            if "exited unexpectedly" in str(error) or "killed by signal" in str(error):
                return worker_died(error)
            if "timed out" not in str(error):
                raise
        if time.monotonic() - asked > PATIENCE_S:
            for worker in workers:
                worker.kill()  # what hangs would stay for ever: torch asks it to end, and it ignores that
            return Failure(
                f"expected a batch within {PATIENCE_S} s, none came from the data workers; look at the disk "
                "or the network that holds the shards, then run the command again"
            )


def worker_died(error: Exception) -> Failure:
    """What to do about a data worker that is gone."""
    return Failure(
        f"a data worker died ({str(error).strip()}); it may have run out of memory: use fewer workers or a "
        "smaller batch, then run the command again"
    )


def to_tensors(batch: AnyBatch | Failure) -> Tensors | Failure:
    """What a worker hands over, as tensors if it is a batch."""
    if isinstance(batch, Failure):
        return batch
    return tensors_of(batch) if isinstance(batch, Batch) else labelled_tensors_of(batch)


def tensors_of(batch: Batch) -> TensorBatch:
    """The arrays of a batch as tensors that share their memory."""
    return TensorBatch(*(torch.from_numpy(array) for array in batch))


def labelled_tensors_of(batch: LabelledBatch) -> LabelledTensors:
    """As ``tensors_of``."""
    return LabelledTensors(*(torch.from_numpy(array) for array in batch))
