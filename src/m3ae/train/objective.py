"""What is minimised: the losses of a part of a step, for the whole step's mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from m3ae.config.data import Image
from m3ae.data.stream.loader import TensorBatch
from m3ae.data.stream.mixture import Counts
from m3ae.model.cost import TextTokens, training_flops
from m3ae.model.m3ae import M3AE
from m3ae.model.words import Words, plan_words


class Normaliser(nn.Module):
    """Bytes to normalised values on the device: (x / 255 - mean) / std per channel."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(image.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(image.std).view(3, 1, 1), persistent=False)

    def forward(self, image: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalise a batch."""
        return image.float().sub_(self.get_buffer("mean")).div_(self.get_buffer("std"))


class Part(NamedTuple):
    """Rows of a step that a device takes in one pass: images with their words, and passages."""

    image: UInt8[Tensor, "batch 3 height width"]
    image_order: Int[Tensor, "batch patches"]
    words: Words | None
    passages: Words | None

    def each(self, function: Callable[[Tensor], Tensor]) -> "Part":
        """The part with every tensor through ``function``."""
        plans = (
            None if plan is None else Words(*map(function, plan)) for plan in (self.words, self.passages)
        )
        return Part(function(self.image), function(self.image_order), *plans)

    def to(self, device: torch.device) -> "Part":
        """The part on a device; from pinned memory the copy does not wait."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Part":
        """The part in memory that a GPU can copy from by itself."""
        return self.each(Tensor.pin_memory)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the part's memory until ``stream`` is done with it."""

        def record(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        self.each(record)


class RowErrors(NamedTuple):
    """The loss of each row of a part, without gradient: to name those that are not finite."""

    images: Float[Tensor, " batch"]
    captions: Float[Tensor, " batch"] | None
    passages: Float[Tensor, " passages"] | None


class PartLosses(NamedTuple):
    """Losses of a part. Sums over its rows, divided by the whole step's count: parts and ranks add up."""

    loss: Float[Tensor, ""]
    named: dict[str, Tensor]
    """The terms of the loss by their name in the step log, without their weights."""
    rows: RowErrors


class Objective(nn.Module):
    """The loss of a step on pairs, images alone and passages, as m3ae_main.py of the authors adds it up.

    An image alone counts in the mean of the text loss with 0, whether it lost its caption or never had one:
    the authors' rule for dropped captions. Passages have a mean, and a weight, of their own; with weight 0
    nothing is computed for them. An MAE is given the images alone.
    """

    def __init__(self, model: M3AE, normalise: Normaliser, unpaired_text_loss_weight: float) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise
        self.unpaired_text_loss_weight = unpaired_text_loss_weight

    @property
    def reads_passages(self) -> bool:
        """Whether passages enter the loss at all."""
        return self.model.architecture.has_text and self.unpaired_text_loss_weight > 0

    def split(self, batch: TensorBatch, parts: int = 1, with_passages: int = 1) -> list[Part]:
        """Cut the rows of a batch, on the host, into parts of nearly equal size, and plan their words.

        ``with_passages`` is how many of the parts, from the first, have passages where the batch has any: as
        many at every rank, since a pass of its own must meet the other ranks' (FSDP).
        """
        images, passages = (
            even_slices(len(batch.image), parts),
            even_slices(len(batch.passage), with_passages),
        )
        passages += [slice(0, 0)] * (parts - with_passages)
        return [self.part(batch, *rows) for rows in zip(images, passages, strict=True)]

    def part(self, batch: TensorBatch, images: slice, passages: slice) -> Part:
        """Some rows of a batch, their words planned."""
        ratio = self.model.architecture.text_mask_ratio
        words = unpaired = None
        if self.model.architecture.has_text:
            order = rows_of(batch.text_order, images)
            words = plan_words(batch.text[images], batch.padding[images], order, ratio)
        if self.reads_passages and passages.stop > passages.start:
            order = rows_of(batch.passage_order, passages)
            text, padding = batch.passage_text[passages], batch.passage_padding[passages]
            unpaired = plan_words(text, padding, order, ratio)
        return Part(batch.image[images], rows_of(batch.image_order, images), words, unpaired)

    def flops(self, parts: list[Part]) -> float:
        """FLOPs of a forward and backward pass over the parts, from their shapes alone."""
        a = self.model.architecture
        total = 0.0
        for part in parts:
            text = None if part.words is None else tokens_of(part.words)
            total += len(part.image) * training_flops(a, text).training
            if part.passages is not None:
                text = tokens_of(part.passages)
                total += len(part.passages.text) * training_flops(a, text, image=False).training
        return total

    def forward(self, part: Part, counts: Counts) -> PartLosses:
        """Losses of a part of a step that has ``counts`` samples over all ranks."""
        images = counts.pairs + counts.images
        paired = self.model.losses(self.normalise(part.image), part.image_order, part.words, images)
        assert paired.image_loss is not None
        assert paired.image_errors is not None
        loss, named = paired.loss, {"image_loss": paired.image_loss}
        if paired.text_loss is not None:
            named["text_loss"] = paired.text_loss
        if not self.reads_passages or not counts.texts:
            return PartLosses(loss, named, RowErrors(paired.image_errors, paired.text_errors, None))
        if part.passages is None:  # in a later part, or none for this model
            named["unpaired_text_loss"] = loss.new_zeros(())
            return PartLosses(loss, named, RowErrors(paired.image_errors, paired.text_errors, None))
        alone = self.model.losses(None, None, part.passages, counts.texts)
        assert alone.text_loss is not None
        named["unpaired_text_loss"] = alone.text_loss
        loss = loss + self.unpaired_text_loss_weight * alone.text_loss
        errors = RowErrors(paired.image_errors, paired.text_errors, alone.text_errors)
        return PartLosses(loss, named, errors)


def tokens_of(words: Words) -> TextTokens:
    """How many tokens of each text are computed, on average."""
    return TextTokens(
        slots=words.text.shape[1],
        visible=words.visible.shape[1],
        hidden=words.hidden.shape[1],
        words=len(words.hidden_rows) / len(words.text),
    )


def even_slices(count: int, parts: int) -> list[slice]:
    """``count`` rows in ``parts`` runs, whose lengths differ by one at most."""
    return [slice(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def rows_of(order: Int[Tensor, "rows tokens"], rows: slice) -> Int[Tensor, "some tokens"]:
    """Rows of an order; one for the whole step (``mask_scope: batch``) is everybody's."""
    return order if len(order) == 1 else order[rows]
