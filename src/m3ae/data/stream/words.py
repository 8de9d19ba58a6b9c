"""Words of a batch side by side, and which images keep theirs."""

import numpy as np
from jaxtyping import Bool, Int64

PAD = 0  # id of the padding word piece


def pad_words(
    captions: list[np.ndarray], max_tokens: int
) -> tuple[Int64[np.ndarray, "batch words"], Bool[np.ndarray, "batch words"]]:
    """Word pieces side by side, cut or padded to ``max_tokens``; and True where there is padding."""
    text = np.full((len(captions), max_tokens), PAD, np.int64)
    padding = np.ones((len(captions), max_tokens), bool)
    for row, words in enumerate(captions):
        count = min(len(words), max_tokens)
        text[row, :count] = words[:count]
        padding[row, :count] = False
    return text, padding


def keeps_caption(samples: Int64[np.ndarray, " n"], paired_share: float) -> Bool[np.ndarray, " n"]:
    """Whether images keep their captions at this share of paired data.

    Deterministic in the sample's index, as the authors' data.py: dropped where
    (index % 100) / 100 is below the share that is dropped.
    """
    return samples % 100 >= round(100 * (1 - paired_share))
