"""Hiding tokens, and putting the sequence together again."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def num_visible(tokens: int, ratio: float) -> int:
    """How many of ``tokens`` stay visible: ``int(tokens * (1 - ratio))``, as in the authors' code."""
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"expected a mask ratio from 0 to 1, got {ratio}")
    return int(tokens * (1.0 - ratio))


class Shuffle(NamedTuple):
    """A random order of the tokens of each sample, cut into a visible head and a hidden tail."""

    order: Int[Tensor, "batch tokens"]
    """Position of the token at each place of the shuffled sequence."""
    restore: Int[Tensor, "batch tokens"]
    """The inverse: place of each token in the shuffled sequence."""
    visible: int
    """How many places are visible."""

    @property
    def is_hidden(self) -> Bool[Tensor, "batch tokens"]:
        """True where a token was hidden, in the original order."""
        return self.restore >= self.visible

    @property
    def visible_positions(self) -> Int[Tensor, "batch visible"]:
        """Original positions of the visible tokens."""
        return self.order[:, : self.visible]

    @property
    def hidden_positions(self) -> Int[Tensor, "batch hidden"]:
        """Original positions of the hidden tokens."""
        return self.order[:, self.visible :]


def shuffle(
    order: Int[Tensor, "*batch tokens"] | None,
    like: Tensor,
    ratio: float,
    one_for_all: bool = False,
) -> Shuffle:
    """Hide a random ``ratio`` of the tokens of ``like`` (batch, tokens, ...).

    ``order`` gives the shuffle, one for the batch or one per sample, in place of the random draw.
    MAE draws one per sample (He et al. 2021, Sec. 3); the authors' JAX code draws one for the whole
    device batch, which is ``one_for_all`` (docs/fidelity.md, item 1).
    """
    batch, tokens = like.shape[:2]
    if order is None:
        noise = torch.rand(1 if one_for_all else batch, tokens, device=like.device)
        order = noise.argsort(dim=1)
    order = order_of_each(order, batch, tokens)
    return Shuffle(order, order.argsort(dim=1), num_visible(tokens, ratio))


def order_of_each(
    order: Int[Tensor, "*batch tokens"], batch: int, tokens: int
) -> Int[Tensor, "{batch} {tokens}"]:
    """An order for each sample, of one for the batch or one per sample; ValueError for another shape."""
    if order.ndim == 1:
        order = order[None]
    if order.shape not in ((1, tokens), (batch, tokens)):
        raise ValueError(
            f"expected an order of shape ({tokens},) or ({batch}, {tokens}), got {tuple(order.shape)}"
        )
    return order.expand(batch, tokens)


def take(
    x: Float[Tensor, "batch tokens dim"], positions: Int[Tensor, "batch some"]
) -> Float[Tensor, "batch some dim"]:
    """The tokens at ``positions`` of each sample."""
    return x.take_along_dim(positions[:, :, None], dim=1)


def unshuffle(
    visible: Float[Tensor, "batch visible dim"], mask_token: Float[Tensor, " dim"], shuffled: Shuffle
) -> Float[Tensor, "batch tokens dim"]:
    """The whole sequence in its original order, the mask token in every hidden place."""
    batch, _, dim = visible.shape
    hidden = shuffled.order.shape[1] - shuffled.visible
    tokens = torch.cat([visible, mask_token.to(visible.dtype).expand(batch, hidden, dim)], dim=1)
    return take(tokens, shuffled.restore)
