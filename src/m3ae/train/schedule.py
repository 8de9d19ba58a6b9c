"""Length and learning rate of a pre-training."""

import math
from dataclasses import dataclass

from m3ae.config.run import Run


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then a half cosine to 0, counted in steps.

    As optax's ``warmup_cosine_decay_schedule`` in the authors' m3ae_main.py: the peak is
    ``base_lr * batch / 256``, and gradient accumulation does not enter it.
    """

    peak: float
    warmup_steps: int
    steps: int

    def lr(self, step: int) -> float:
        """The learning rate of the 0-based ``step``."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def schedule_of(run: Run, model: str) -> Schedule:
    """The schedule of a model: its epochs in whole steps of the global batch.

    A training that is shorter than five warm-ups, as the small rows of `tiny`, warms up for a fifth of it.
    """
    settings = run.settings_of(model)
    recipe = settings.pretrain
    steps_per_epoch = settings.samples_per_epoch / settings.batch_size
    epochs = run.model(model).epochs
    return Schedule(
        peak=recipe.base_lr * settings.batch_size / 256,
        warmup_steps=int(min(recipe.warmup_epochs, epochs / 5) * steps_per_epoch),
        steps=int(epochs * steps_per_epoch),
    )
