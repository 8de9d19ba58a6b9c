"""What a model makes of hidden patches and words, sample by sample, without any gradient."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from m3ae.evaluate.heldout_pairs import HeldoutBatch
from m3ae.model.m3ae import M3AE
from m3ae.model.masking import Shuffle, shuffle, take
from m3ae.model.patches import to_patches


class HiddenErrors(NamedTuple):
    """Per sample; NaN where a caption has no hidden word."""

    image_error: Float[Tensor, " batch"]
    """Mean squared error over hidden patches (normalised pixels, squared)."""
    word_accuracy: Float[Tensor, " batch"] | None
    """Share of the hidden words that are predicted exactly."""


@torch.inference_mode()
def hidden_errors(model: M3AE, batch: HeldoutBatch, with_text: bool) -> HiddenErrors:
    """Errors of one batch; an MAE, or M3AE ``with_text=False``, reads the images alone."""
    text, padding, text_order = batch.text, batch.padding, batch.text_order
    ratios = (model.architecture.image_mask_ratio, model.architecture.text_mask_ratio)
    if not with_text:
        encoded = model.encode_visible(batch.image, None, None, (batch.image_order, None), ratios)
        decoded = model.decode(encoded, None)
        assert encoded.image_shuffle is not None
        return HiddenErrors(model.image_errors(batch.image, decoded, encoded.image_shuffle), None)
    encoded = model.encode_visible(batch.image, text, padding, (batch.image_order, text_order), ratios)
    decoded = model.decode(encoded, padding)
    assert encoded.image_shuffle is not None
    assert encoded.text_shuffle is not None
    assert decoded.text is not None
    hidden = encoded.text_shuffle.hidden_positions
    predicted = model.text_head(take(decoded.text, hidden)).argmax(dim=-1)
    return HiddenErrors(
        model.image_errors(batch.image, decoded, encoded.image_shuffle),
        share_of_words(predicted == text.take_along_dim(hidden, dim=1), batch, encoded.text_shuffle),
    )


def share_of_words(correct: Tensor, batch: HeldoutBatch, shuffled: Shuffle) -> Float[Tensor, " batch"]:
    """Share of the hidden words (padding aside) for which ``correct`` (batch, hidden) is True."""
    counts = ~batch.padding.take_along_dim(shuffled.hidden_positions, dim=1)
    return (correct & counts).sum(dim=1) / counts.sum(dim=1)  # 0 / 0 is NaN: nothing was asked


def constant_word_accuracy(batch: HeldoutBatch, word: int, text_mask_ratio: float) -> Float[Tensor, " batch"]:
    """Share of the hidden words that are right if the answer is always ``word``."""
    shuffled = shuffle(batch.text_order, batch.text, text_mask_ratio)
    hidden_words = batch.text.take_along_dim(shuffled.hidden_positions, dim=1)
    return share_of_words(hidden_words == word, batch, shuffled)


def mean_of_visible_error(
    batch: HeldoutBatch, patch_px: int, image_mask_ratio: float
) -> Float[Tensor, " batch"]:
    """Error over hidden patches if each is predicted as the mean colour of the visible ones."""
    patches = to_patches(batch.image, patch_px).unflatten(-1, (-1, 3))
    flat = patches.flatten(1, 2)  # pixels of all patches, in patch order
    shuffled = shuffle(batch.image_order, patches, image_mask_ratio)
    is_hidden = shuffled.is_hidden.repeat_interleave(patches.shape[2], dim=1)[:, :, None]
    visible_mean = (flat * ~is_hidden).sum(dim=1, keepdim=True) / (~is_hidden).sum(dim=1, keepdim=True)
    squared = (flat - visible_mean).square() * is_hidden
    return squared.sum(dim=(1, 2)) / (3 * is_hidden.sum(dim=(1, 2)))
