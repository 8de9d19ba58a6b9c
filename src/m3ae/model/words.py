"""The words of a batch as training computes them: padding left out wherever it changes nothing."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from m3ae.model.masking import num_visible, order_of_each


class Words(NamedTuple):
    """Texts with what is visible and hidden of each, planned on the host: no step must ask the device.

    Padding is never a key and has no loss, so slots behind the longest text, visible padding and hidden
    padding are left out. Where a row has fewer words than another it is filled up with slot 0.
    """

    text: Int[Tensor, "batch slots"]
    padding: Bool[Tensor, "batch slots"]
    visible: Int[Tensor, "batch visible"]
    """Slots of visible words."""
    visible_padding: Bool[Tensor, "batch visible"]
    """True where a row is filled up."""
    hidden: Int[Tensor, "batch hidden"]
    """Slots of hidden words."""
    hidden_rows: Int[Tensor, " words"]
    """Which of the batch x hidden places, row by row, hold a word: what the text head sees."""
    share: Float[Tensor, " words"]
    """Of each hidden word in its text's mean: one over the number of that text's hidden words."""


def plan_words(
    text: Int[Tensor, "batch slots"],
    padding: Bool[Tensor, "batch slots"] | None,
    order: Int[Tensor, "*one slots"],
    ratio: float,
) -> Words:
    """Which words are visible and which hidden: the first ``int(slots * (1 - ratio))`` places of an order.

    An order is for the batch (one row) or for each text, and is drawn without regard to padding, as the
    authors' code does (docs/fidelity.md, item 2). On a GPU this waits for the device.
    """
    batch, slots = text.shape
    padding = torch.zeros_like(text, dtype=torch.bool) if padding is None else padding
    order = order_of_each(order, batch, slots)
    kept = num_visible(slots, ratio)
    visible, visible_padding = words_first(order[:, :kept], padding, least=0)
    hidden, hidden_padding = words_first(order[:, kept:], padding, least=1)
    is_word = ~hidden_padding
    share = is_word / is_word.sum(dim=1, keepdim=True).clamp(min=1)
    longest = last_used(~padding)
    return Words(
        text[:, :longest],
        padding[:, :longest],
        visible,
        visible_padding,
        hidden,
        is_word.flatten().nonzero().flatten(),
        share[is_word],
    )


def words_first(
    places: Int[Tensor, "batch some"], padding: Bool[Tensor, "batch slots"], least: int
) -> tuple[Int[Tensor, "batch fewer"], Bool[Tensor, "batch fewer"]]:
    """The slots of ``places`` that hold a word, in their order, and where rows are filled up with slot 0.

    As many columns as the row with most words needs, ``least`` at least.
    """
    is_padding = padding.take_along_dim(places, dim=1)
    order = is_padding.to(torch.uint8).argsort(dim=1, stable=True)
    is_padding = is_padding.take_along_dim(order, dim=1)
    columns = max(last_used(~is_padding, least=0), least)
    is_padding = is_padding[:, :columns]
    return places.take_along_dim(order, dim=1)[:, :columns].masked_fill(is_padding, 0), is_padding


def last_used(used: Bool[Tensor, "batch some"], least: int = 1) -> int:
    """The number of columns up to the last one that any row uses, ``least`` at least."""
    columns = torch.arange(1, used.shape[1] + 1, device=used.device) * used.any(dim=0)
    return max(int(columns.max()) if columns.numel() else 0, least)
