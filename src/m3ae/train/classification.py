"""What supervised training minimises."""

from torch.nn import functional as F

from m3ae.data.stream.loader import LabelledTensors
from m3ae.data.stream.mixture import Counts
from m3ae.model.classifier import Classifier
from m3ae.model.cost import PASSES, encoder_flops, linear_flops
from m3ae.train.objective import Normaliser, Objective, PartLosses, RowErrors
from m3ae.train.part import LabelledPart, even_slices


class ClassificationObjective(Objective):
    """Cross-entropy with mixed and smoothed labels, as timm's `mixup_target` makes them."""

    model: Classifier

    def __init__(self, model: Classifier, normalise: Normaliser, label_smoothing: float) -> None:
        super().__init__(model, normalise)
        self.label_smoothing = label_smoothing

    def split(self, batch: LabelledTensors, parts: int = 1, with_passages: int = 1) -> list[LabelledPart]:
        """Cut the rows of a batch into parts of nearly equal size."""
        return [
            LabelledPart(batch.image[rows], batch.label[rows], batch.partner[rows], batch.share[rows])
            for rows in even_slices(len(batch.image), parts)
        ]

    def flops(self, parts: list[LabelledPart]) -> float:
        """See `Objective`."""
        a, classes = self.model.architecture, self.model.head.out_features
        return (
            sum(len(part.image) for part in parts)
            * PASSES
            * (encoder_flops(a) + linear_flops(1, a.width, classes))
        )

    def forward(self, part: LabelledPart, counts: Counts) -> PartLosses:
        """Losses of a part of a step that has ``counts.pairs`` images over all ranks."""
        logits = self.model(self.normalise(part.image)).float()
        own, other = (
            F.cross_entropy(logits, classes, label_smoothing=self.label_smoothing, reduction="none")
            for classes in (part.label, part.partner)
        )
        errors = part.share * own + (1 - part.share) * other
        loss = errors.sum() / counts.pairs
        right = (logits.argmax(dim=1) == part.label).sum() / counts.pairs
        return PartLosses(
            loss, {"classification_loss": loss, "train_accuracy": right}, RowErrors(errors.detach())
        )
