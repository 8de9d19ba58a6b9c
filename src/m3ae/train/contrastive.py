"""What CLIP minimises."""

import torch

from m3ae.data.stream.loader import TensorBatch
from m3ae.data.stream.mixture import Counts
from m3ae.errors import UserError
from m3ae.model.clip import CLIP
from m3ae.model.contrastive import contrastive_errors, world
from m3ae.model.cost import clip_flops
from m3ae.train.objective import Normaliser, Objective, PartLosses, RowErrors
from m3ae.train.part import PairPart


class ContrastiveObjective(Objective):
    """The loss of a step on pairs: every rank's images against all ranks' captions, and back."""

    model: CLIP

    def __init__(self, model: CLIP, normalise: Normaliser) -> None:
        super().__init__(model, normalise)

    def begin_step(self) -> None:
        """Limit the scale itself: with FSDP, ``forward`` limits a copy, of which nothing stays."""
        self.model.limit_scale()

    def split(self, batch: TensorBatch, parts: int = 1, with_passages: int = 1) -> list[PairPart]:
        """The rank's rows, with captions cut behind the longest. Raises UserError for more than one part."""
        if parts > 1:
            raise UserError(
                "--device-batch: expected the rank's whole share of the batch, since CLIP compares all pairs "
                f"at once, got {parts} parts; take more devices, or --recompute to save memory"
            )
        longest = max(1, int((~batch.padding).sum(dim=1).max()))
        return [PairPart(batch.image, batch.text[:, :longest], batch.padding[:, :longest])]

    def flops(self, parts: list[PairPart]) -> float:
        """See `Objective`."""
        model = self.model
        return sum(
            len(part.image)
            * clip_flops(
                model.architecture, model.text_architecture, part.text.shape[1], len(part.image) * world()
            )
            for part in parts
        )

    def forward(self, part: PairPart, counts: Counts) -> PartLosses:
        """The losses of a rank's part of a step that has ``counts.pairs`` pairs over all ranks."""
        rows = len(part.image)
        if rows * world() != counts.pairs:
            raise UserError(
                f"batch_size: expected a multiple of {world()} ranks, since CLIP takes as many pairs from "
                f"each, got {counts.pairs}; change batch_size or the number of devices"
            )
        images = self.model.embed_image(self.normalise(part.image))
        texts = self.model.embed_text(part.text, part.padding)
        scale = self.model.scale()
        with torch.autocast(images.device.type, enabled=False):
            errors = contrastive_errors(images, texts, ~part.padding.all(dim=1), scale)
        loss = errors.sum() / counts.pairs
        return PartLosses(
            loss,
            {"contrastive_loss": loss, "scale": scale.detach() * rows / counts.pairs},
            RowErrors(errors.detach()),
        )
