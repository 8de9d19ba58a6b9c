"""A held-out pair as Figures 7 and 8 show it: plain arrays, so that whatever draws it needs no model."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from m3ae.data.source.toy.scenes import Box


class Shown(NamedTuple):
    """A pair, one word of its caption, and one patch of its picture."""

    word: str
    sample: int
    """Id of the held-out pair."""
    picture: UInt8[np.ndarray, "size size 3"]
    """As the encoder sees it."""
    pieces: list[str]
    slots: list[int]
    """Where the word stands."""
    over_patches: Float[np.ndarray, "side side"]
    """Attention of the word; sums to 1."""
    peak: tuple[int, int]
    """The patch that it looks at most: row and column."""
    patch: tuple[int, int]
    """The patch of Figure 8: at the centre of the digit that the word names, else the peak."""
    over_words: Float[np.ndarray, " words"]
    """Attention of that patch over the word pieces; sums to 1."""
    box: Box | None
    """Where the digit is, in pixels of the picture; None where that is not known."""

    @property
    def hit(self) -> bool | None:
        """Whether the peak's centre lies on the digit; None where that is not known."""
        if self.box is None:
            return None
        px = len(self.picture) / len(self.over_patches)
        centre = [(place + 0.5) * px for place in self.peak]
        starts = (self.box.top, self.box.left)
        return all(start <= at < start + self.box.side for start, at in zip(starts, centre, strict=True))
