"""The training engine as the doctor uses it. All that it knows of the engine's functions stands here."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from m3ae.config.run import Run
from m3ae.config.training import Mixture
from m3ae.data.stream.loader import TensorBatch, Tensors
from m3ae.data.stream.mixture import Counts, split_batch
from m3ae.model.classifier import Classifier
from m3ae.train.build import build_model
from m3ae.train.doctor.synthetic import labelled, synthetic_batch
from m3ae.train.feed import feed
from m3ae.train.machine import Machine
from m3ae.train.method import objective_of
from m3ae.train.optimizer import make_optimizer
from m3ae.train.part import Part
from m3ae.train.passes import Passes, largest_pass, passes_of
from m3ae.train.precision import autocast, usable_precision
from m3ae.train.processor import prepare_processor
from m3ae.train.ranks import Ranks
from m3ae.train.spread import Spread
from m3ae.train.step import train_step


class Trial:
    """A model with its optimiser that takes steps to be timed: built as pre-training builds it, never saved.

    The learning rate is 0, so that weights stay what they are; the work is that of any other step.
    """

    def __init__(self, run: Run, name: str, vocab_size: int, machine: Machine) -> None:
        prepare_processor()
        self.settings, self.vocab_size = run.settings_of(name), vocab_size
        recipe = self.settings.pretrain
        ranks = Ranks()
        self.device, self.mixture = ranks.device, recipe.mixture
        self.precision = usable_precision(recipe.precision, self.device)
        model = build_model(run, name, vocab_size)
        self.spread = Spread(objective_of(run, name, model), ranks, machine)
        self.optimizer = make_optimizer(model, recipe)

    @property
    def model(self) -> nn.Module:
        """The model whose steps are timed."""
        return self.spread.objective.model

    def check_passes(self, most: int | None) -> None:
        """Raise UserError, as a training would, if passes of ``most`` samples cannot each have an image."""
        passes_of(self.counts, 1, most)

    @property
    def least_pass(self) -> int:
        """The smallest --device-batch that a training takes; one sample of each kind at least."""
        counts = self.counts
        images = counts.pairs + counts.images
        passes = Passes(images, min(images, max(counts.texts, 1)))
        return max(smallest_step(self.mixture), largest_pass(counts, 1, passes))

    @property
    def counts(self) -> Counts:
        """What the model reads of a whole step."""
        return self.spread.objective.read(split_batch(self.settings.batch_size, self.mixture))

    def part(self, batch: TensorBatch) -> Part:
        """A made-up batch as one pass takes it, on the device."""
        model = self.model
        made = labelled(batch, model.head.out_features) if isinstance(model, Classifier) else batch
        return self.spread.objective.split(made)[0].to(self.device)

    def noise(self, samples: int, lengths: Sequence[int] | None = None) -> Part:
        """A made-up pass of ``samples`` samples; see ``synthetic_batch``."""
        return self.part(synthetic_batch(self.settings, self.vocab_size, samples, lengths))

    def parts(self, batches: Iterator[Tensors]) -> Iterator[Part]:
        """Batches of the loader as passes on the device, copied as pre-training copies them."""
        for _, parts in feed(batches, self.spread.objective.split, self.device):
            yield parts[0]

    def step(self, passes: list[Part], samples: int) -> None:
        """A step of several passes with ``samples`` samples in all: forward, backward, update."""
        counts = split_batch(samples, self.mixture)
        train_step(self.spread, self.optimizer, passes, counts, 0.0, self.precision)

    def loss(self, part: Part, samples: int) -> Tensor:
        """The loss of one pass, with all that its backward pass needs."""
        with autocast(self.precision, self.device):
            return self.spread.module(part, split_batch(samples, self.mixture)).loss

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def smallest_step(mixture: Mixture) -> int:
    """Samples of a step with one sample of each kind."""
    return sum(weight > 0 for weight in (mixture.pairs, mixture.images, mixture.texts))
