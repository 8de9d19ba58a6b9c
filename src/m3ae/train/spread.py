"""A model over the ranks of its training: a copy each (DDP), or a part each (FSDP2)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from m3ae.model.blocks import Block, Transformer
from m3ae.train.machine import Machine
from m3ae.train.objective import Objective
from m3ae.train.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


class Spread:
    """An objective as the ranks compute it."""

    def __init__(self, objective: Objective, ranks: Ranks, machine: Machine) -> None:
        self.objective, self.ranks = objective.to(ranks.device).train(), ranks
        for module in objective.modules():
            if isinstance(module, Transformer):
                module.recompute = machine.recompute
        if machine.compile or (machine.compile is None and ranks.device.type == "cuda"):
            compile_blocks(objective)
        self.module: nn.Module = objective
        self.sharded: FSDPModule | None = None
        if ranks.world > 1 and machine.parallel == "ddp":
            self.module = DistributedDataParallel(
                objective,
                device_ids=[ranks.device.index] if ranks.device.type == "cuda" else None,
                gradient_as_bucket_view=True,
                forward_sync_buffers=False,  # fixed positions, the same everywhere
            )
        elif ranks.world > 1:
            self.sharded = shard(objective, ranks)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The model's parameters, or this rank's part of each."""
        return self.objective.model.parameters()

    def exchange(self, is_last: bool) -> AbstractContextManager:
        """The context of one part of a step: gradients go to the other ranks with the last part alone."""
        if self.sharded is not None:
            self.sharded.set_requires_gradient_sync(is_last)
        if isinstance(self.module, DistributedDataParallel) and not is_last:
            return self.module.no_sync()
        return nullcontext()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside the block every rank may call the model itself, without gradient."""
        if self.sharded is not None:
            self.sharded.unshard()
        try:
            yield
        finally:
            if self.sharded is not None:
                self.sharded.reshard()


def shard(objective: Objective, ranks: Ranks) -> "FSDPModule":
    """Give each rank a part of every parameter; a block's are put together when it is computed.

    They travel in fp32 whatever the precision of the forward pass, so that nothing but rounding differs from
    DDP.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    for module in objective.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    return fully_shard(objective, mesh=mesh)


def compile_blocks(objective: Objective) -> None:
    """Compile each block by itself: one graph serves all blocks of a width, within seconds."""
    torch._dynamo.config.suppress_errors = True  # without a compiler, eager blocks do the same
    for module in objective.modules():
        if isinstance(module, Block):
            module.compile(dynamic=True)
