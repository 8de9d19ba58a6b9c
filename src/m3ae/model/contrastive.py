"""The symmetric contrastive loss of CLIP, over the captions and images of all ranks."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Vectors = Float[Tensor, "rows dim"]


def contrastive_errors(
    images: Vectors, texts: Vectors, has_text: Bool[Tensor, " rows"], scale: Float[Tensor, ""]
) -> Float[Tensor, " rows"]:
    """For each pair the mean of two cross-entropies: its caption among all, and its image among all.

    Images and texts are unit vectors in fp32, the same number at every rank. A pair that lost its caption is
    nobody's negative and has error 0.
    """
    first = len(images) * rank()
    everybody = everyone(has_text)
    right = torch.arange(first, first + len(images), device=images.device)
    others = ~everybody.expand(len(images), -1) & (right[:, None] != torch.arange(len(everybody)).to(right))
    errors = [
        F.cross_entropy(
            (scale * mine @ gathered(theirs).T).masked_fill(others, -torch.inf), right, reduction="none"
        )
        for mine, theirs in ((images, texts), (texts, images))
    ]
    return (errors[0] + errors[1]) / 2 * has_text


def world() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This one's number."""
    return dist.get_rank() if world() > 1 else 0


def everyone(mine: Tensor) -> Tensor:
    """Rows of all ranks in their order, without gradient."""
    if world() == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(world())]
    dist.all_gather(parts, mine.contiguous())
    return torch.cat(parts)


def gathered(mine: Vectors) -> Float[Tensor, "all dim"]:
    """Rows of all ranks in their order. What any rank's loss owes to a row flows back to the row's rank."""
    return mine if world() == 1 else Gather.apply(mine)


class Gather(torch.autograd.Function):
    """See `gathered`."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        """All ranks' rows."""
        ctx.rows = len(mine)
        return everyone(mine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The sum over ranks of what their losses owe to this rank's rows."""
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[rank() * ctx.rows :][: ctx.rows]
