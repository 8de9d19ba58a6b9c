"""What a run will cost, by arithmetic: samples, FLOPs, GPU-hours at an assumed rate, disk. Imports no torch.

Nothing here was measured, but the shards that are there. A sample counts with the longest caption, which is
too much; captions are shorter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from m3ae.config.datasets import load_dataset
from m3ae.config.run import Run
from m3ae.data.manifest import Manifest, read_manifest
from m3ae.model.cost import PASSES, clip_flops, encoder_flops, training_flops
from m3ae.train.architecture import architecture_of, num_parameters_of, taken_weights, text_architecture_of
from m3ae.train.kept import KEPT, STATE_BYTES

FLOAT_BYTES = 4  # of a feature, and of a parameter in results/
ASSUMED_MFU = 0.25  # benchmarks/results/gpu_step.md: 24 % for B, 32 % for L
ASSUMED_TFLOPS = 989.0  # an H100 SXM in bf16 without sparsity
PLAUSIBLE = 10  # passes over the data in what the configuration calls an epoch: `photos` has two


@dataclass(frozen=True)
class Cost:
    """One or several models."""

    models: int
    samples: float
    """Seen in training."""
    flops: float
    """Of training."""
    checkpoint_bytes: int
    """At the worst moment."""
    result_bytes: int
    """Of the frozen weights and the features, which stay."""

    def gpu_hours(self, mfu: float, tflops: float) -> float:
        """On devices that reach the share ``mfu`` of ``tflops`` (TFLOP/s), whatever their number."""
        return self.flops / (mfu * tflops * 1e12) / 3600


def cost_of(run: Run, name: str) -> Cost:
    """The cost of a row of the grid."""
    vocab_size = run.settings.data.tokens.vocab_size
    width = architecture_of(run, name, vocab_size).width
    training, parameters = training_of(run, name), num_parameters_of(run, name, vocab_size)
    return replace(
        training,
        checkpoint_bytes=(KEPT + 1) * STATE_BYTES * parameters if training.samples > 0 else 0,
        result_bytes=FLOAT_BYTES * (parameters + width * num_images(run)) + layer_bytes(run, name, width),
    )


def training_of(run: Run, name: str) -> Cost:
    """The cost of a row but for the disk."""
    epochs = 0.0 if taken_weights(run, name) else run.model(name).epochs
    samples = epochs * run.settings.samples_per_epoch
    return Cost(1, samples, samples * sample_flops(run, name), checkpoint_bytes=0, result_bytes=0)


def layer_bytes(run: Run, name: str, width: int) -> int:
    """The last blocks of a headline row, two poolings in half precision, of the images of the tasks."""
    if name not in run.headline:
        return 0
    splits = {(task.dataset, split) for task in run.settings.probe.tasks for split in (task.train, task.test)}
    images = sum(load_dataset(dataset).splits[split].count or 0 for dataset, split in splits)
    return images * run.extended.probes.layers * 2 * width * 2


def sample_flops(run: Run, name: str) -> float:
    """Of one training sample, forward and backward."""
    settings, method = run.settings_of(name), run.model(name).method
    a = architecture_of(run, name, settings.data.tokens.vocab_size)
    if method == "clip":
        text = text_architecture_of(run, name, settings.data.tokens.vocab_size)
        return clip_flops(a, text, text.max_tokens, settings.batch_size)
    return PASSES * encoder_flops(a) if method == "supervised" else training_flops(a).training


def features_flops(run: Run, name: str, images: int) -> float:
    """Of the forward pass of ``images`` images through a frozen encoder, nothing hidden."""
    return images * encoder_flops(architecture_of(run, name, run.settings.data.tokens.vocab_size))


def num_images(run: Run) -> int:
    """Images of all evaluation splits; those that a run makes itself state no count, and count as none."""
    return sum(load_dataset(split.dataset).splits[split.split].count or 0 for split in run.eval_splits)


def together(costs: Iterable[Cost]) -> Cost:
    """Several models, as if all were trained at the same time."""
    all_costs = list(costs)
    return Cost(
        models=len(all_costs),
        samples=sum(cost.samples for cost in all_costs),
        flops=sum(cost.flops for cost in all_costs),
        checkpoint_bytes=sum(cost.checkpoint_bytes for cost in all_costs),
        result_bytes=sum(cost.result_bytes for cost in all_costs),
    )


def models_of_targets(run: Run) -> dict[str, Sequence[str]]:
    """The models that each target of the workflow needs."""
    return {
        "figure2": run.models_of("m3ae")[:1],
        "every figure, report, all": run.models,
    }


class Shards(NamedTuple):
    """Clean shards of the training pairs."""

    samples: int
    bytes: float
    is_counted: bool
    """Whether a manifest says so; else it is the configuration's number at an assumed size."""


def shards_of(run: Run, image_bytes: float) -> Shards:
    """Those that are there; else ``samples_per_epoch``, with images of ``image_bytes`` in the mean."""
    if manifest := train_manifest(run):
        return Shards(manifest.count, sum(shard.bytes for shard in manifest.shards), True)
    samples = run.settings.samples_per_epoch
    return Shards(samples, samples * image_bytes, False)


def epoch_mismatch(run: Run) -> str | None:
    """What is odd about ``samples_per_epoch`` beside the pairs that are there; None if nothing is.

    Whoever extends `paper` with data of their own inherits its 11 million, and every forecast with them.
    """
    manifest, stated = train_manifest(run), run.settings.samples_per_epoch
    if manifest is None or stated <= PLAUSIBLE * manifest.count:
        return None
    path = run.paths.manifest("train")
    return (
        f"samples_per_epoch is {stated:,}, but {path} has {manifest.count:,} samples; set samples_per_epoch "
        f"in config/{run.name}.yaml: epochs, costs and times are counted in it"
    )


def train_manifest(run: Run) -> Manifest | None:
    """The manifest of the training pairs; None where they are not there yet."""
    path = run.paths.manifest("train")
    return read_manifest(path) if path.is_file() else None
