"""What a pass through the model gives, as a whole and half way."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from m3ae.model.masking import Shuffle


class Output(NamedTuple):
    """What one pass gives. Predictions are None unless asked for; so is everything of an absent modality."""

    loss: Float[Tensor, ""]
    image_loss: Float[Tensor, ""] | None
    text_loss: Float[Tensor, ""] | None
    image_prediction: Float[Tensor, "batch patches values"] | None
    text_logits: Float[Tensor, "batch words vocab"] | None
    image_hidden: Bool[Tensor, "batch patches"] | None
    text_hidden: Bool[Tensor, "batch words"] | None


class Losses(NamedTuple):
    """What training needs of a pass: sums over its rows, divided by a count, so that parts add up."""

    loss: Float[Tensor, ""]
    image_loss: Float[Tensor, ""] | None
    text_loss: Float[Tensor, ""] | None
    image_errors: Float[Tensor, " batch"] | None
    """Error of each image, without gradient."""
    text_errors: Float[Tensor, " batch"] | None
    """Loss of each text, without gradient."""


class Encoded(NamedTuple):
    """The encoder's output for visible tokens, and how they were chosen."""

    cls: Float[Tensor, "batch 1 dim"]
    image: Float[Tensor, "batch visible_patches dim"] | None
    text: Float[Tensor, "batch visible_words dim"] | None
    image_shuffle: Shuffle | None
    text_shuffle: Shuffle | None


class Decoded(NamedTuple):
    """The decoder's output for every patch and word."""

    image: Float[Tensor, "batch patches dim"] | None
    text: Float[Tensor, "batch words dim"] | None
