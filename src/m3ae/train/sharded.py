"""Tensors of which each rank holds a part (FSDP2).

Its library is imported by a training that is sharded, and by no other: that takes most of a second.
"""

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether other ranks hold parts of it."""
    library = sys.modules.get("torch.distributed.tensor")
    return library is not None and isinstance(tensor, library.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; one that is sharded is put together, which every rank must call."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor as ``parameter`` lies on the ranks. Adam's step counts stay whole."""
    value = value.to(parameter.device)
    if not is_sharded(parameter) or not value.ndim:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
