"""Reconstruction pictures of a few fixed samples, every so often while a model learns."""

import numpy as np

from m3ae.config.rows import REBUILDS
from m3ae.config.run import Run
from m3ae.data.stream.loader import AnyStream, tensors_of
from m3ae.data.stream.stream import Batch
from m3ae.train.precision import autocast
from m3ae.train.spread import Spread
from m3ae.train.telemetry.pictures import draw_rebuilt, write_picture

NUM = 6
"""Samples of a picture: the first of the stream."""


class Pictures:
    """Draws the same samples each time, into logs/RUN/MODEL/pictures/."""

    def __init__(self, run: Run, name: str, stream: AnyStream, spread: Spread, precision: str) -> None:
        rebuilds = run.model(name).method in REBUILDS
        self.every = run.settings.pretrain.picture_steps if rebuilds else 0
        self.folder = run.paths.pictures(name)
        self.precision = precision
        self.stream, self.spread, self.image = stream, spread, run.settings_of(name).data.image

    def is_due(self, done: int) -> bool:
        """Whether to draw after ``done`` steps."""
        return self.every > 0 and done % self.every == 0

    def draw(self, done: int) -> np.ndarray | None:
        """Write a picture and return it (height, width, 3), at the first rank; every rank must take part."""
        objective, device = self.spread.objective, self.spread.ranks.device
        first = self.stream.batch(0, min(NUM, len(self.stream)))
        assert isinstance(first, Batch)
        batch = tensors_of(first).to(device)
        with self.spread.whole(), autocast(self.precision, device):
            drawn = draw_rebuilt(objective.model, batch, objective.normalise, self.image)
        if not self.spread.ranks.is_first:
            return None
        write_picture(self.folder / f"step-{done:08d}.png", drawn)
        return drawn
