"""The processes of one training: who they are, what they agree on, and how one notices that another is gone.

Started by torchrun (or anything that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT), or
alone, without any of it.
"""

import datetime
import gc
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from m3ae.errors import TRY_AGAIN, Again, UserError
from m3ae.train.machine import TIMEOUT_VARIABLE, collective_timeout_s

LOST = ("gloo", "nccl", "closed by peer", "connection reset", "broken pipe", "timed out")
"""What torch says, in lower case, when another rank does not answer."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: device_of(0))

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks, logs and saves for all."""
        return self.rank == 0

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether any rank raised it: the same answer everywhere."""
        if self.world == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.int32)  # on the processor: the device is not waited for
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in raised.tolist())

    def total(self, values: Tensor) -> Tensor:
        """The sum over all ranks, element by element, on the processor."""
        values = values.cpu()
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: int) -> int:
        """The first rank's value, at all ranks."""
        tensor = torch.tensor(value)
        if self.world > 1:
            dist.broadcast(tensor, src=0)
        return int(tensor)

    def gather(self, words: str) -> list[str]:
        """Every rank's words, in the order of the ranks, at all ranks."""
        if self.world == 1:
            return [words]
        gathered: list[str] = [""] * self.world
        dist.all_gather_object(gathered, words)
        return gathered

    def once(self, error: Exception) -> BaseException:
        """``error`` at the first rank; at the others, which all found the same, a silent exit."""
        if self.is_first:
            return error
        return SystemExit(TRY_AGAIN if isinstance(error, Again) else 1)

    @contextmanager
    def first_does(self, what: str) -> Iterator[None]:
        """Wait until the first rank has done the block; if it fails, it says why and all stop."""
        failure: Exception | None = None
        try:
            yield
        except (UserError, OSError) as error:
            failure = error
        (failed,) = self.agree(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise UserError(f"rank {self.rank} of {self.world}: the first rank could not {what}; it says why")


def device_of(local_rank: int) -> torch.device:
    """The GPU of a rank, or the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"local rank {local_rank}: expected a GPU for each rank, found {torch.cuda.device_count()}; "
            "start at most as many processes as there are GPUs (torchrun --nproc-per-node)"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """This process's place among the ranks of its training; leaves them at the end.

    Raises UserError, one line, where the others cannot be reached or are lost.
    """
    world = number("WORLD_SIZE", 1)
    if world == 1:
        yield Ranks()
        return
    rank, local_rank = number("RANK"), number("LOCAL_RANK")
    device = device_of(local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with in_contact(rank, world):
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            timeout=datetime.timedelta(seconds=collective_timeout_s()),
            rank=rank,
            world_size=world,
        )
        with let_go():
            yield Ranks(rank, world, local_rank, device)
        dist.destroy_process_group()  # not after an error: it would wait for those that are gone


@contextmanager
def let_go() -> Iterator[None]:
    """Free what the block made, models above all, before the group of processes ends.

    A DDP model that holds the group's last reference takes it down while it holds Python's lock, for which
    the group's own threads may wait: for ever.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        gc.collect()


@contextmanager
def in_contact(rank: int, world: int) -> Iterator[None]:
    """Say in one line that another rank is gone or hangs."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).strip() or type(error).__name__
        if not isinstance(error, dist.DistError) and not any(sign in words.lower() for sign in LOST):
            raise
        patience_s = collective_timeout_s()
        raise UserError(
            f"rank {rank} of {world}: lost contact with another rank, which has died or hangs "
            f"({words.splitlines()[0][:200]}); if it said why, its line is above. The last checkpoint is "
            f"whole: run the command again. {TIMEOUT_VARIABLE} is the patience ({patience_s:.0f} s)"
        ) from None


def number(variable: str, default: int | None = None) -> int:
    """A whole number from the environment that torchrun sets."""
    text = os.environ.get(variable)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit():
        raise UserError(
            f"{variable}: expected a whole number, as torchrun sets it beside WORLD_SIZE, got {text!r}; "
            "start several ranks with torchrun --no-python -- m3ae pretrain ..."
        )
    return int(text)
