"""Image-text pairs of a split as one model sees them, and which of them are measured."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from m3ae.config import Run
from m3ae.data.images import normalise, view
from m3ae.data.shards import Pairs
from m3ae.data.stream.keyed import IMAGE_MASK, PAIRS, permutation, uniforms
from m3ae.data.stream.words import pad_words
from m3ae.data.tokens import Tokens
from m3ae.evaluate.heldout_pairs import EPOCH
from m3ae.evaluate.language.hide import Seen

BATCH = 256  # rows of one pass

Ids = Int64[np.ndarray, " n"]
Pieces = Int[np.ndarray, " _"]
"""The ids of a caption's word pieces."""


class ModelPairs:
    """The pairs of a split: images as ``model`` reads them, captions as text and as word pieces.

    Beside questions about words ``mask_ratio`` of an image's patches is hidden (None: as in pre-training).
    """

    def __init__(self, run: Run, model: str, split: str, mask_ratio: float | None = None) -> None:
        self.settings, self.seed = run.settings_of(model), run.settings.seed
        trained_with = self.settings.pretrain.image_mask_ratio
        self.mask_ratio = trained_with if mask_ratio is None else mask_ratio
        self.pairs = Pairs(run.paths.shards(split))
        self.tokens_path = run.paths.tokens(split)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def tokens(self) -> Tokens:
        """Word pieces, for those who read them: beside images alone there may be none."""
        return Tokens(self.tokens_path)

    def said(self, id: int) -> list[str]:
        """The captions of a pair."""
        return self.pairs.captions(id)

    def pieces(self, id: int) -> list[Pieces]:
        """The word pieces of the captions of a pair."""
        return self.tokens.captions(id)

    def images(self, ids: Iterable[int]) -> Float[Tensor, "n 3 height width"]:
        """Normalised central views."""
        image, resize = self.settings.data.image, self.settings.features.resize_px
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            views = threads.map(lambda id: view(self.pairs.image(int(id)), resize, image.size_px), ids)
            stacked = np.stack(list(views))
        return torch.from_numpy(normalise(stacked, image.mean, image.std)).to(self.device)

    def seen(self, ids: Ids) -> Seen:
        """Images beside questions about words; which patches are hidden depends on seed and pair alone."""
        image, patch_px = self.images(ids), self.settings.architecture.patch_px
        num_patches = (image.shape[2] // patch_px) ** 2
        order = uniforms(num_patches, self.seed, IMAGE_MASK, EPOCH, ids).argsort(axis=1)
        return Seen(image, torch.from_numpy(order).to(self.device), self.mask_ratio)

    def texts(self, ids: Iterable[int]) -> tuple[Int[Tensor, "n words"], Bool[Tensor, "n words"]]:
        """First captions with their padding, as many slots as the longest of them needs."""
        words = [self.pieces(int(id))[0] for id in ids]
        text, padding = pad_words(words, max(1, *(len(caption) for caption in words)))
        return torch.from_numpy(text).to(self.device), torch.from_numpy(padding).to(self.device)


def draw(run: Run, pairs: ModelPairs, num: int, least_captions: int = 1) -> Ids:
    """The first ``num`` pairs with words and enough captions, in an order that the run's seed decides."""
    order = map(int, permutation(len(pairs), run.settings.seed, PAIRS))
    fit = (id for id in order if len(pairs.pieces(id)) >= least_captions and len(pairs.pieces(id)[0]))
    return np.fromiter(islice(fit, num), np.int64)


def partners(ids: Ids) -> Ids:
    """For each pair another one: one cycle through all of them."""
    return np.roll(ids, -1)


def by_length(captions: Sequence[Pieces], batch: int = BATCH) -> Iterator[Ids]:
    """Which captions have equally many words, in batches: rows of a batch need no padding."""
    lengths = np.array([len(caption) for caption in captions])
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        for start in range(0, len(places), batch):
            yield places[start : start + batch]


def stack(captions: Sequence[Pieces], places: Ids, device: torch.device) -> Int64[Tensor, "batch words"]:
    """Captions with equally many words as one text."""
    rows = np.stack([captions[place] for place in places]).astype(np.int64)
    return torch.from_numpy(rows).to(device)
