"""Which concepts captions name."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from m3ae.config.evaluation import WORD
from m3ae.data.shards import iter_captions

BATCH = 4096  # pairs whose captions are in memory at once

Words = dict[str, list[str]]
"""Each concept and the words, in lower case, that mean it."""


def concepts_in(captions: Iterable[str], words: Words) -> list[bool]:
    """For each concept whether any of the captions names it."""
    said = set(WORD.findall(" ".join(captions).lower()))
    return [not said.isdisjoint(forms) for forms in words.values()]


def fill_labels(
    folder: Path,
    ids: Int64[np.ndarray, " rows"],
    captions: slice,
    words: Words,
    arrays: dict[str, np.ndarray],
) -> None:
    """Label the pairs ``ids`` of clean shards by some of their captions, in one pass over the file.

    ``arrays`` holds one array (rows,) for each concept.
    """
    order = np.argsort(ids)
    ordered, first = ids[order], 0
    for batch in iter_captions(folder, BATCH):
        start, end = np.searchsorted(ordered, [first, first + len(batch)])
        for row in order[start:end]:
            named = concepts_in(batch[ids[row] - first][captions], words)
            for name, value in zip(words, named, strict=True):
                arrays[name][row] = value
        first += len(batch)
