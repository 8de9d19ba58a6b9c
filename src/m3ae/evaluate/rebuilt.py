"""A held-out pair as Figure 2 shows it: plain arrays, so that whatever draws it needs no model."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

Picture = UInt8[np.ndarray, "size size 3"]


class Rebuilt(NamedTuple):
    """What was there, what the model saw, what it made of the rest."""

    model: str
    sample: int
    """Id of the held-out pair."""
    original: Picture
    masked: Picture
    rebuilt: Picture
    caption: list[tuple[str, bool, str]]
    """Each word piece, whether it was hidden, and what the model predicts there."""
    image_error: float
    """Mean squared error over the hidden patches (normalised pixels, squared)."""

    @property
    def words(self) -> tuple[int, int]:
        """How many of the hidden pieces are predicted, and how many were hidden."""
        hidden = [piece == predicted for piece, was_hidden, predicted in self.caption if was_hidden]
        return sum(hidden), len(hidden)
