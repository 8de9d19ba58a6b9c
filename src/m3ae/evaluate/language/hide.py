"""Hide exactly the wanted words of captions, and ask the decoder for them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.model.m3ae import M3AE
from m3ae.model.masking import take


class Seen(NamedTuple):
    """Images, and which of their patches the encoder reads."""

    image: Float[Tensor, "batch 3 height width"]
    order: Int[Tensor, "batch patches"]
    """The patches of each image; the head of the order stays visible."""
    mask_ratio: float
    """Share of the patches that is hidden."""

    def rows(self, index: Int[Tensor, " some"] | slice) -> "Seen":
        """Some of the images, the same patches of each."""
        return Seen(self.image[index], self.order[index], self.mask_ratio)


@torch.inference_mode()
def hidden_log_probs(
    model: M3AE,
    seen: Seen | None,
    text: Int[Tensor, "batch words"],
    hidden: Int[Tensor, "batch hidden"],
) -> Float[Tensor, "batch hidden vocab"]:
    """Log-probabilities (natural) of every word piece at the ``hidden`` slots, in their order.

    As in pre-training the encoder reads the visible words alone and mask tokens enter the decoder: what
    ``text`` holds in hidden slots changes nothing. Without images, from text alone.
    Rows have equally many words and no padding, which is never a key: the same as padded rows give.
    """
    words = text.shape[1]
    image, order, image_mask_ratio = seen or (None, None, 0.0)
    orders = (order, hidden_last(hidden, words))
    ratios = (image_mask_ratio, ratio_of(hidden.shape[1], words))
    decoded = model.decode(model.encode_visible(image, text, None, orders, ratios), None)
    assert decoded.text is not None
    return model.text_head(take(decoded.text, hidden)).float().log_softmax(dim=-1)


def ratio_of(num_hidden: int, words: int) -> float:
    """The mask ratio at which a model hides exactly ``num_hidden`` of ``words``.

    It leaves int(words * (1 - ratio)) visible: half a word more makes that safe from rounding.
    """
    return 1 - (words - num_hidden + 0.5) / words


def hidden_last(hidden: Int[Tensor, "batch hidden"], words: int) -> Int[Tensor, "batch words"]:
    """The slots of each row: visible ones in their order, then the ``hidden`` ones in theirs."""
    keys = torch.arange(words, device=hidden.device).repeat(len(hidden), 1)
    behind = torch.arange(hidden.shape[1], device=hidden.device) + words
    return keys.scatter(1, hidden, behind.expand_as(hidden)).argsort(dim=1)
