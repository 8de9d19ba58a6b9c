"""Held-out pairs as a model sees them: central view, first caption, masks that are fixed by the seed."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from m3ae.config.run import Run
from m3ae.data.images import normalise, view
from m3ae.data.shards import Pairs
from m3ae.data.stream.keyed import IMAGE_MASK, PAIRS, TEXT_MASK, permutation, uniforms
from m3ae.data.stream.stream import pad_words
from m3ae.data.tokens import Tokens
from m3ae.errors import UserError

EPOCH = 0  # held-out samples are seen once


class HeldoutBatch(NamedTuple):
    """Some held-out images, the captions that go beside them, and what is hidden of both."""

    image: Float[Tensor, "batch 3 height width"]
    text: Int[Tensor, "batch words"]
    padding: Bool[Tensor, "batch words"]
    image_order: Int[Tensor, "batch patches"]
    text_order: Int[Tensor, "batch words"]


class HeldoutPairs:
    """The first ``heldout.num_samples`` pairs of the held-out set."""

    def __init__(self, run: Run) -> None:
        self.settings = run.settings
        self.pairs = Pairs(run.paths.shards("heldout"))
        self.tokens = Tokens(run.paths.tokens("heldout"))
        self.num_patches = (run.settings.data.image.size_px // run.settings.architecture.patch_px) ** 2

    def __len__(self) -> int:
        """Pairs that are used."""
        return min(len(self.pairs), self.settings.heldout.num_samples)

    def partners(self) -> Int64[np.ndarray, " n"]:
        """For each image a pair whose caption is wrong for it: one cycle through all of them.

        Raises UserError for a single pair, which would be its own wrong partner.
        """
        if len(self) < 2:
            raise UserError(
                f"heldout: expected two pairs or more, each the other's wrong partner, got {len(self)}; "
                "raise heldout.num_samples, or bring more held-out pairs"
            )
        cycle = permutation(len(self), self.settings.seed, PAIRS)
        partners = np.empty(len(self), np.int64)
        partners[cycle] = np.roll(cycle, -1)
        return partners

    def batch(self, images: Int64[np.ndarray, " b"], captions: Int64[np.ndarray, " b"]) -> HeldoutBatch:
        """Images and captions by their ids; what is hidden of each depends on its own id alone."""
        words = [self.tokens.captions(int(sample))[0] for sample in captions]
        text, padding = pad_words(words, self.settings.data.tokens.max_tokens)
        arrays = (
            self.images(images),
            text,
            padding,
            self.orders(IMAGE_MASK, self.num_patches, images),
            self.orders(TEXT_MASK, text.shape[1], captions),
        )
        return HeldoutBatch(*map(torch.from_numpy, arrays))

    def images(self, samples: Int64[np.ndarray, " b"]) -> Float[np.ndarray, "b 3 height width"]:
        """Normalised central views."""
        image, size = self.settings.data.image, self.settings.data.image.size_px
        resize = self.settings.features.resize_px
        views = np.stack([view(self.pairs.image(int(sample)), resize, size) for sample in samples])
        return normalise(views, image.mean, image.std)

    def orders(
        self, purpose: int, count: int, samples: Int64[np.ndarray, " b"]
    ) -> Int64[np.ndarray, "b count"]:
        """Shuffles of the tokens, the head of which stays visible."""
        return uniforms(count, self.settings.seed, purpose, EPOCH, samples).argsort(axis=1)
