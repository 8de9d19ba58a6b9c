"""The training stream: which samples come when, and what each looks like.

The order is a pure function of (seed, epoch, position); augmentation, masks and the choice of a caption are
drawn from (seed, epoch, sample id). A checkpoint needs one integer, the number of samples seen.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from m3ae.config.run import Run
from m3ae.data.shards import Pairs
from m3ae.data.stream.augment import apply_crop, draw_crop
from m3ae.data.stream.keyed import CAPTION, IMAGE_MASK, SHUFFLE, TEXT_MASK, permutation, uniforms
from m3ae.data.tokens import Tokens

PAD = 0  # id of the padding word piece


class Batch(NamedTuple):
    """One step's samples. An order is a shuffle of the tokens: its head stays visible.

    Pairs come first, then images alone, all of whose words are padding. Passages are text alone: no rows
    where the mixture has none.
    """

    sample: Int64[np.ndarray, " batch"]
    image: UInt8[np.ndarray, "batch 3 height width"]
    text: Int64[np.ndarray, "batch words"]
    padding: Bool[np.ndarray, "batch words"]
    image_order: Int64[np.ndarray, "batch patches"]
    text_order: Int64[np.ndarray, "batch words"]
    passage: Int64[np.ndarray, " passages"]
    passage_text: Int64[np.ndarray, "passages passage_words"]
    passage_padding: Bool[np.ndarray, "passages passage_words"]
    passage_order: Int64[np.ndarray, "passages passage_words"]


def locate(position: int, size: int) -> tuple[int, int]:
    """Epoch and place within it of the ``position``-th sample of the stream (0-based)."""
    return divmod(position, size)


@lru_cache(maxsize=2)  # a step may straddle two epochs
def epoch_order(seed: int, epoch: int, size: int) -> Int64[np.ndarray, " size"]:
    """The order of one epoch: every sample exactly once."""
    return permutation(size, seed, SHUFFLE, epoch)


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


def keeps_caption(sample: int, paired_share: float) -> bool:
    """Whether an image keeps its caption at this share of paired data.

    Deterministic in the sample's index, as the authors' data.py: dropped where
    (index % 100) / 100 is below the share that is dropped.
    """
    return sample % 100 >= round(100 * (1 - paired_share))


def no_passages() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The passages of a mixture without text alone."""
    none = np.empty((0, 0), np.int64)
    return np.empty(0, np.int64), none, none.astype(bool), none


class Stream:
    """The samples of a model's pre-training, by position."""

    def __init__(self, run: Run, model: str) -> None:
        self.pairs = Pairs(run.paths.shards("train"))
        self.tokens = Tokens(run.paths.tokens("train"))
        self.settings = run.settings
        self.row = run.model(model)
        self.num_patches = (run.settings.data.image.size_px // run.settings.architecture.patch_px) ** 2

    def __len__(self) -> int:
        """Samples of one pass over the data."""
        return len(self.pairs)

    def batch(self, start: int, stop: int) -> Batch:
        """The samples at positions ``start`` to ``stop`` (exclusive) of the stream."""
        located = [locate(position, len(self)) for position in range(start, stop)]
        seed = self.settings.seed
        samples = np.array([epoch_order(seed, epoch, len(self))[place] for epoch, place in located])
        epochs = np.array([epoch for epoch, _ in located])
        images = np.stack([self.image(*keys) for keys in zip(epochs.tolist(), samples.tolist(), strict=True)])
        text, padding = self.words(epochs, samples)
        return Batch(
            samples,
            images,
            text,
            padding,
            self.order(IMAGE_MASK, self.num_patches, epochs, samples),
            self.order(TEXT_MASK, text.shape[1], epochs, samples),
            *no_passages(),
        )

    def image(self, epoch: int, sample: int) -> UInt8[np.ndarray, "3 height width"]:
        """The augmented image of a sample in an epoch."""
        image, settings = self.pairs.image(sample), self.settings.data.image
        low, high = settings.crop_scale
        crop = draw_crop(image.size, (low, high), settings.flip, self.settings.seed, epoch, sample)
        return apply_crop(image, crop, settings.size_px)

    def words(
        self, epochs: Int64[np.ndarray, " batch"], samples: Int64[np.ndarray, " batch"]
    ) -> tuple[Int64[np.ndarray, "batch words"], Bool[np.ndarray, "batch words"]]:
        """One caption of each sample, chosen anew in each epoch; all padding where it is dropped."""
        draws = uniforms(1, self.settings.seed, CAPTION, epochs, samples)[:, 0]
        chosen = []
        for sample, draw in zip(samples.tolist(), draws, strict=True):
            captions = self.tokens.captions(sample)
            kept = keeps_caption(sample, self.row.paired_share)
            chosen.append(captions[int(draw * len(captions))] if kept else np.empty(0, np.int64))
        return pad_words(chosen, self.settings.data.tokens.max_tokens)

    def order(
        self,
        purpose: int,
        count: int,
        epochs: Int64[np.ndarray, " batch"],
        samples: Int64[np.ndarray, " batch"],
    ) -> Int64[np.ndarray, "batch tokens"]:
        """The shuffle that hides tokens: for each sample, or that of the first for the whole batch."""
        if self.settings.pretrain.mask_scope == "batch":
            epochs, samples = epochs[:1], samples[:1]
        return uniforms(count, self.settings.seed, purpose, epochs, samples).argsort(axis=1)
