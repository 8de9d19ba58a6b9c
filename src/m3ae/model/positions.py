"""Fixed sine-cosine positions."""

import torch
from jaxtyping import Float
from torch import Tensor


def sincos(width: int, positions: Float[Tensor, " n"]) -> Float[Tensor, "n width"]:
    """Sines, then cosines, of the positions at ``width / 2`` geometric frequencies from 1 to 1/10000."""
    if width % 2:
        raise ValueError(f"expected an even width, got {width}")
    frequency = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float32) / (width / 2))
    angle = positions[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def word_positions(width: int, count: int) -> Float[Tensor, "count width"]:
    """Positions of words: one dimension."""
    return sincos(width, torch.arange(count, dtype=torch.float32))


def patch_positions(width: int, count: int) -> Float[Tensor, "count width"]:
    """Positions of the patches of a square image, row by row: column first, then row.

    "Width goes first" in the authors' model.py and in Facebook's MAE: the first half of the vector
    encodes the column.
    """
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(f"expected the patches of a square image, got {count}")
    line = torch.arange(side, dtype=torch.float32)
    column, row = line.repeat(side), line.repeat_interleave(side)
    return torch.cat([sincos(width // 2, column), sincos(width // 2, row)], dim=1)
