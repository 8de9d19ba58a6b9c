"""Made-up batches in the shapes of a row: data that wait for nothing."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from m3ae.config.models import RunSettings
from m3ae.data.stream.loader import LabelledTensors, TensorBatch
from m3ae.data.stream.mixture import split_batch
from m3ae.data.stream.stream import Drawn, Stream

NUM_CAPTIONS = 1024  # of which lengths are taken


def caption_lengths(stream: Stream) -> list[int]:
    """Words of captions as the model gets them (0 where the model's row drops them), of drawn pairs."""
    samples = np.random.default_rng(0).integers(len(stream), size=NUM_CAPTIONS)
    return [len(words) for words in stream.words(Drawn(np.zeros_like(samples), samples))]


def synthetic_batch(
    settings: RunSettings, vocab_size: int, samples: int, lengths: Sequence[int] | None = None
) -> TensorBatch:
    """A step of ``samples`` samples, split as the mixture says, of noise.

    ``settings`` are the row's (`Run.settings_of`): mixture and size of the image may be its own. Captions
    have ``lengths``, used in turn; None fills every slot, which is the most that a step can hold. Passages
    are always full.
    """
    counts = split_batch(samples, settings.pretrain.mixture)
    rows, size = counts.pairs + counts.images, settings.data.image.size_px
    slots = settings.data.tokens.max_tokens
    passage_slots = settings.data.texts.max_tokens if settings.data.texts and counts.texts else 0
    words = [slots if lengths is None else lengths[row % len(lengths)] for row in range(counts.pairs)]
    text, padding = fill_slots(words + [0] * counts.images, slots, vocab_size)
    passage, passage_padding = fill_slots([passage_slots] * counts.texts, passage_slots, vocab_size)
    one_mask = settings.pretrain.mask_scope == "batch"
    num_patches = (size // settings.architecture.patch_px) ** 2
    return TensorBatch(
        sample=torch.arange(rows),
        image=torch.randint(256, (rows, 3, size, size), dtype=torch.uint8),
        text=text,
        padding=padding,
        image_order=orders(1 if one_mask else rows, num_patches),
        text_order=orders(1 if one_mask else rows, slots),
        passage=torch.arange(counts.texts),
        passage_text=passage,
        passage_padding=passage_padding,
        passage_order=orders(min(1, counts.texts) if one_mask else counts.texts, passage_slots),
    )


def labelled(batch: TensorBatch, num_classes: int) -> LabelledTensors:
    """The same images with random classes, as supervised training takes them."""
    rows = len(batch.image)
    classes = torch.randint(num_classes, (2, rows))
    return LabelledTensors(torch.arange(rows), batch.image, classes[0], classes[1], torch.full((rows,), 0.5))


def fill_slots(
    words: Sequence[int], slots: int, vocab_size: int
) -> tuple[Int[Tensor, "rows slots"], Bool[Tensor, "rows slots"]]:
    """Random word pieces, so many in each row, and padding behind them."""
    padding = torch.arange(slots) >= torch.tensor(words, dtype=torch.int64)[:, None]
    text = torch.randint(max(vocab_size, 1), (len(words), slots))
    return text.masked_fill(padding, 0), padding


def orders(rows: int, tokens: int) -> Int[Tensor, "rows tokens"]:
    """Random shuffles."""
    return torch.rand(rows, tokens).argsort(dim=1)


def batch_bytes(settings: RunSettings, samples: int) -> int:
    """Bytes of a step on the host, as the loader hands it over."""
    few = min(samples, 64)
    batch = synthetic_batch(settings, 1, few)
    return sum(tensor.nbytes for tensor in batch) * samples // few
