"""The training stream: which samples come when, and what each looks like.

The order is a pure function of (seed, epoch, position); augmentation, masks and the choice of a caption are
drawn from (seed, epoch, sample id). A checkpoint needs one integer, the number of steps done: images alone
and passages have streams and orders of their own, of which each step takes a fixed count.
"""

from collections.abc import Sized
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from m3ae.config.models import RunSettings
from m3ae.config.run import Run
from m3ae.data.passages import Passages
from m3ae.data.shards import Pairs
from m3ae.data.stream.augment import training_view
from m3ae.data.stream.keyed import (
    CAPTION,
    DROP_TEXT,
    IMAGE_MASK,
    PASSAGE_MASK,
    SHUFFLE,
    SHUFFLE_IMAGES,
    SHUFFLE_PASSAGES,
    TEXT_MASK,
    uniforms,
)
from m3ae.data.stream.mixture import NO_ROWS, Rows, rows_of, split_batch
from m3ae.data.stream.order import locate
from m3ae.data.stream.words import keeps_caption, pad_words
from m3ae.data.tokens import Tokens
from m3ae.errors import UserError

NO_WORDS = np.empty(0, np.uint16)
FIRST_IMAGE = 10**12  # image-only sample i has the id FIRST_IMAGE + i: no pair's id


class Batch(NamedTuple):
    """One step's samples. An order is a shuffle of the tokens: its head stays visible.

    Pairs come first, then images alone, all of whose words are padding. Passages are text alone: no rows
    where the mixture has none. Where one mask is drawn for the whole batch, an order has a single row.
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


class Drawn(NamedTuple):
    """Samples, each with the epoch in which it comes: what crops, masks and captions are keyed by."""

    epoch: Int64[np.ndarray, " n"]
    sample: Int64[np.ndarray, " n"]


NONE_DRAWN = Drawn(np.empty(0, np.int64), np.empty(0, np.int64))


class Stream:
    """The samples of a model's pre-training, by step or by position."""

    def __init__(self, run: Run, model: str) -> None:
        self.run, self.model = run, model
        self.row, self.settings = run.model(model), run.settings_of(model)
        self.recipe = self.settings.pretrain
        mixture, paths = self.recipe.mixture, run.paths
        self.pairs = Pairs(paths.shards("train"))
        self.tokens = Tokens(paths.tokens("train"))
        self.images = Pairs(paths.shards("images")) if mixture.images > 0 else None
        self.passages = Passages(paths.tokens("texts")) if mixture.texts > 0 else None
        self.num_patches = (self.settings.data.image.size_px // self.settings.architecture.patch_px) ** 2
        for name, kind in (("pairs", self.pairs), ("images", self.images), ("texts", self.passages)):
            if kind is not None and len(kind) == 0:
                raise UserError(f"pretrain.mixture.{name}: expected data to train on, found no sample")

    @property
    def vocab_size(self) -> int:
        """Word pieces of the tokenizer."""
        return self.tokens.vocab_size

    def __len__(self) -> int:
        """Samples of one pass over the pairs."""
        return len(self.pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stream, (self.run, self.model)  # for processes that are spawned: they map the files anew

    def step(self, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Batch:
        """A rank's rows of a step (from 0); all ranks' rows, kind by kind, are the step of one rank."""
        counts = split_batch(batch_size, self.recipe.mixture, world)
        return self._batch(*(rows_of(step, count, rank, world) for count in counts))

    def batch(self, start: int, stop: int) -> Batch:
        """The pairs at positions ``start`` to ``stop`` (exclusive) of their stream, as one step."""
        return self._batch(Rows(start, stop, start), NO_ROWS, NO_ROWS)

    def _batch(self, pairs: Rows, images: Rows, passages: Rows) -> Batch:
        paired, first = self._draw(pairs, self.pairs, SHUFFLE)
        alone, _ = self._draw(images, self.images, SHUFFLE_IMAGES)
        both = Drawn(
            np.concatenate([paired.epoch, alone.epoch]),
            np.concatenate([paired.sample, alone.sample + FIRST_IMAGE]),
        )
        words = self.words(paired) + [NO_WORDS] * len(alone.sample)
        text, padding = pad_words(words, self.settings.data.tokens.max_tokens)
        return Batch(
            both.sample,
            self._views(paired, alone),
            text,
            padding,
            self._orders(IMAGE_MASK, self.num_patches, both, first),
            self._orders(TEXT_MASK, text.shape[1], both, first),
            *self._passages(passages),
        )

    def _draw(self, rows: Rows, kind: Sized | None, purpose: int) -> tuple[Drawn, Drawn]:
        """What comes at the rows, and at the step's first position."""
        if kind is None or rows.start == rows.stop:
            return NONE_DRAWN, NONE_DRAWN
        positions = np.append(rows.first, np.arange(rows.start, rows.stop))
        epochs, samples = locate(positions, len(kind), self.settings.seed, purpose)
        return Drawn(epochs[1:], samples[1:]), Drawn(epochs[:1], samples[:1])

    def _views(self, paired: Drawn, alone: Drawn) -> UInt8[np.ndarray, "batch 3 size size"]:
        """The augmented images of both kinds, one after the other."""
        pairs, images = len(paired.sample), len(alone.sample)
        size = self.settings.data.image.size_px
        views = np.empty((pairs + images, 3, size, size), np.uint8)
        fill_views(views[:pairs], self.pairs, paired, self.settings, first_id=0)
        if self.images is not None and images:
            fill_views(views[pairs:], self.images, alone, self.settings, first_id=FIRST_IMAGE)
        return views

    def words(self, drawn: Drawn) -> list[np.ndarray]:
        """One caption of each pair, chosen anew in each epoch; no word where it is dropped."""
        seed = self.settings.seed
        chosen = uniforms(1, seed, CAPTION, *drawn)[:, 0]
        dropped = uniforms(1, seed, DROP_TEXT, *drawn)[:, 0] < self.recipe.random_drop_text
        kept = keeps_caption(drawn.sample, self.row.paired_share) & ~dropped
        words = [NO_WORDS] * len(kept)
        for row in np.flatnonzero(kept):
            captions = self.tokens.captions(int(drawn.sample[row]))
            words[row] = captions[int(chosen[row] * len(captions))]
        return words

    def _orders(
        self, purpose: int, count: int, drawn: Drawn, first: Drawn
    ) -> Int64[np.ndarray, "batch tokens"]:
        """The shuffles that hide tokens: for each sample, or that of the step's first for the whole batch."""
        keys = first if self.recipe.mask_scope == "batch" else drawn
        return uniforms(count, self.settings.seed, purpose, *keys).argsort(axis=1)

    def _passages(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Passages with their word slots, padding and orders; no rows where the mixture has none."""
        texts = self.settings.data.texts
        drawn, first = self._draw(rows, self.passages, SHUFFLE_PASSAGES)
        if self.passages is None or texts is None:
            none = np.empty((0, 0), np.int64)
            return drawn.sample, none, none.astype(bool), none
        words = [self.passages.passage(int(number)) for number in drawn.sample]
        text, padding = pad_words(words, texts.max_tokens)
        return drawn.sample, text, padding, self._orders(PASSAGE_MASK, texts.max_tokens, drawn, first)


def fill_views(
    views: UInt8[np.ndarray, "n 3 size size"],
    shards: Pairs,
    drawn: Drawn,
    settings: RunSettings,
    first_id: int,
) -> None:
    """Put the augmented images of samples into ``views``; their ids are ``first_id`` and what follows."""
    image, seed, ids = settings.data.image, settings.seed, drawn.sample.tolist()
    for row, jpeg in enumerate(shards.jpegs(ids)):
        try:
            views[row] = training_view(jpeg, image, seed, int(drawn.epoch[row]), first_id + ids[row])
        except Exception as error:  # decoders raise many kinds on broken bytes
            raise shards.undecodable(ids[row], error) from None
