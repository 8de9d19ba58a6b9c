"""What masked autoencoders minimise."""

from jaxtyping import Int
from torch import Tensor

from m3ae.data.stream.loader import TensorBatch
from m3ae.data.stream.mixture import Counts
from m3ae.model.cost import TextTokens, training_flops
from m3ae.model.m3ae import M3AE
from m3ae.model.words import Words, plan_words
from m3ae.train.objective import Normaliser, Objective, PartLosses, RowErrors
from m3ae.train.part import MaskedPart, even_slices


class MaskedObjective(Objective):
    """The loss of a step on pairs, images alone and passages, as m3ae_main.py of the authors adds it up.

    An image alone counts in the mean of the text loss with 0, whether it lost its caption or never had one:
    the authors' rule for dropped captions. Passages have a mean, and a weight, of their own; with weight 0
    nothing is computed for them. An MAE is given the images alone.
    """

    model: M3AE

    def __init__(self, model: M3AE, normalise: Normaliser, unpaired_text_loss_weight: float) -> None:
        super().__init__(model, normalise)
        self.unpaired_text_loss_weight = unpaired_text_loss_weight

    @property
    def reads_passages(self) -> bool:
        """Whether passages enter the loss at all."""
        return self.model.architecture.has_text and self.unpaired_text_loss_weight > 0

    def read(self, counts: Counts) -> Counts:
        """See `Objective`."""
        return counts if self.reads_passages else counts._replace(texts=0)

    def split(self, batch: TensorBatch, parts: int = 1, with_passages: int = 1) -> list[MaskedPart]:
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

    def part(self, batch: TensorBatch, images: slice, passages: slice) -> MaskedPart:
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
        return MaskedPart(batch.image[images], rows_of(batch.image_order, images), words, unpaired)

    def flops(self, parts: list[MaskedPart]) -> float:
        """See `Objective`."""
        a = self.model.architecture
        total = 0.0
        for part in parts:
            text = None if part.words is None else tokens_of(part.words)
            total += len(part.image) * training_flops(a, text).training
            if part.passages is not None:
                text = tokens_of(part.passages)
                total += len(part.passages.text) * training_flops(a, text, image=False).training
        return total

    def forward(self, part: MaskedPart, counts: Counts) -> PartLosses:
        """See `Objective`."""
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


def rows_of(order: Int[Tensor, "rows tokens"], rows: slice) -> Int[Tensor, "some tokens"]:
    """Rows of an order; one for the whole step (``mask_scope: batch``) is everybody's."""
    return order if len(order) == 1 else order[rows]
