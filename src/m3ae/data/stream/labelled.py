"""The samples of supervised training: images of an evaluation set's training split, with their classes.

As `stream.py`, a pure function of (seed, step): crops, flips and augmentations are keyed by (seed, epoch,
sample), mixup and CutMix by (seed, step). Neither workers nor ranks change a byte.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from m3ae.config.run import Run
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.data.stream.keyed import SHUFFLE_LABELLED
from m3ae.data.stream.labelled_view import labelled_view
from m3ae.data.stream.mixing import draw_mix
from m3ae.data.stream.mixture import rows_of
from m3ae.data.stream.order import locate
from m3ae.data.stream.stream import Drawn


class LabelledBatch(NamedTuple):
    """One step's images, each of ``share`` one class and for the rest another (mixup, CutMix)."""

    sample: Int64[np.ndarray, " batch"]
    image: UInt8[np.ndarray, "batch 3 height width"]
    label: Int64[np.ndarray, " batch"]
    partner: Int64[np.ndarray, " batch"]
    share: Float32[np.ndarray, " batch"]


class LabelledStream:
    """The labelled images of a model's training, by step or by position."""

    vocab_size = 0

    def __init__(self, run: Run, model: str) -> None:
        self.run, self.model = run, model
        self.settings = run.settings_of(model)
        self.recipe = self.settings.pretrain
        task = run.settings.probe.tasks[0]
        self.images = EvalImages(run, task.dataset, task.train)
        self.classes = self.images.labels(task.label)
        self.num_classes = self.images.dataset.num_classes(task.label)

    def __len__(self) -> int:
        """Images of one pass."""
        return len(self.images)

    def __reduce__(self) -> tuple[Any, ...]:
        return LabelledStream, (self.run, self.model)  # for processes that are spawned

    def step(self, step: int, batch_size: int, rank: int = 0, world: int = 1) -> LabelledBatch:
        """A rank's rows of a step (from 0); all ranks' rows in turn are the step of one rank."""
        rows = rows_of(step, batch_size, rank, world)
        return self._batch(np.arange(rows.start, rows.stop), rows.first, batch_size)

    def batch(self, start: int, stop: int) -> LabelledBatch:
        """The images at positions ``start`` to ``stop`` (exclusive), as one step."""
        return self._batch(np.arange(start, stop), start, stop - start)

    def _batch(self, positions: Int64[np.ndarray, " rows"], first: int, size: int) -> LabelledBatch:
        """Rows of the step that begins at ``first``; each is mixed with one as far from its end."""
        drawn = self._draw(positions)
        views, labels = self._views(drawn), self.classes[drawn.sample]
        mix, partners = draw_mix(self.settings, first), labels
        if mix.share < 1:
            others = self._draw(2 * first + size - 1 - positions)
            views, partners = mix.of(views, self._views(others)), self.classes[others.sample]
        share: Float32[np.ndarray, " rows"] = np.full(len(views), mix.share, np.float32)
        return LabelledBatch(drawn.sample, views, labels, partners, share)

    def _draw(self, positions: Int64[np.ndarray, " rows"]) -> Drawn:
        """Which images stand at positions of the stream, and in which epoch."""
        return Drawn(*locate(positions, len(self), self.settings.seed, SHUFFLE_LABELLED))

    def _views(self, drawn: Drawn) -> UInt8[np.ndarray, "batch 3 size size"]:
        """The augmented images."""
        pairs = zip(drawn.epoch.tolist(), drawn.sample.tolist(), strict=True)
        views = [labelled_view(self.images.image(id), self.settings, epoch, id) for epoch, id in pairs]
        return np.stack(views)
