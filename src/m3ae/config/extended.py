"""Settings of what a user of an encoder asks beyond the paper's figures, for the `headline` rows of a run."""

from typing import Annotated, Literal

from pydantic import Field

from m3ae.config.base import Positive, Range, Settings, Share
from m3ae.config.evaluation import EvalSplit, OodPair

Rates = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
Radii = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Probes(Settings):
    """Other probes than the paper's, on the stored features: target `probes`. All choices are made on a part
    of the training set (`probe.validation_share`)."""

    layers: Positive
    """Last blocks whose CLS and patch mean are stored, in fp16, for the sweep."""
    base_lrs: Rates
    """Rates of the sweep (for a batch of 256); a head for each, for each stored layer and pooling."""
    batch_size: Positive
    """Samples per step of the sweep."""
    epochs: Positive
    """Passes of the sweep over the training features."""
    penalties: Rates
    """Strengths of logistic regression's L2 penalty to choose from (1 / C)."""
    neighbours: Annotated[list[Positive], Field(min_length=1)]
    """Numbers of nearest neighbours to choose from."""
    shots: Annotated[list[Positive], Field(min_length=1)]
    """Training images per class of the few-shot probes."""
    draws: Positive
    """Draws of these images."""


class Detection(Settings):
    """Out-of-distribution detection with every score that is known: target `detection`."""

    pairs: Annotated[list[OodPair], Field(min_length=1)]
    """What is told apart; near and far."""
    masks: Positive
    """Maskings over which the reconstruction error of an image is averaged."""


class NaturalShift(Settings):
    """Another set of images of a task's classes."""

    name: str
    """Name in tables and records."""
    task: str
    """Name of the probe task whose classifier is applied."""
    images: EvalSplit
    """The set; where its classes are a part of the task's, the largest logit among these counts."""
    label: str
    """Column of its class."""


class Shift(Settings):
    """Accuracy on changed images: target `shift`."""

    num_samples: Positive
    """Test images of each task that are corrupted, evenly spaced."""
    corruptions: list[str]
    """Kinds of corruption, named as in ImageNet-C; empty for none."""
    severities: list[Annotated[int, Field(ge=1, le=5)]]
    """Severities of each."""
    relative_to: Literal["alexnet"] | None
    """Whose errors the mean corruption error is divided by; null: a plain mean."""
    natural: list[NaturalShift]
    """Sets that others took."""


class Attack(Settings):
    """One attack at growing radii."""

    name: str
    """`fgsm`, `pgdN` (N steps), `apgd`, `fab`, `square` or `autoattack`."""
    norm: Literal["linf", "l2"]
    """The ball's norm, of images in [0, 1]."""
    radii: Radii
    """Radii of the ball."""


class Robustness(Settings):
    """Accuracy under attack of the probe on a frozen encoder: target `robustness`.

    One summary of the paper claims that M3AE is more robust; the paper shows nothing of it.
    """

    task: str
    """Name of the probe task whose classifier is attacked."""
    num_samples: Positive
    """Test images of it, evenly spaced."""
    batch_size: Positive
    """Images that are attacked at once; finished batches survive a kill."""
    attacks: list[Attack]
    """What is tried; empty for none."""


class FineTune(Settings):
    """Training a whole encoder with its head: MAE's recipe (He et al. 2021, Table 9); the paper has none."""

    epochs: Positive
    """Passes over the training images."""
    warmup_epochs: Annotated[int, Field(ge=0)]
    """Linear warm-up, then cosine to 0 (epochs)."""
    batch_size: Positive
    """Images per step; even where images are mixed."""
    base_lr: Annotated[float, Field(gt=0)]
    """Learning rate for a batch of 256."""
    weight_decay: Annotated[float, Field(ge=0)]
    """AdamW's weight decay; vectors do not decay."""
    betas: Range
    """AdamW's betas."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """A layer's rate, as a share of that of the layer above it."""
    label_smoothing: Share
    """Share of a target that goes to all classes alike."""
    mixup: Annotated[float, Field(ge=0)]
    """Alpha; 0 for none."""
    cutmix: Annotated[float, Field(ge=0)]
    """Alpha; 0 for none. With both, each step takes either with equal chance."""
    pooling: Literal["cls", "mean"]
    """What the head reads."""
    rand_augment: str
    """timm's rule for RandAugment; empty for none."""
    erase: Share
    """Chance that a rectangle of an image is erased."""


class Augmented(Settings):
    """Heads whose encoder runs again in every epoch, on augmented images: target `augmented`.

    No part of `all`: it costs as much as the passes of the encoder that it makes.
    """

    tasks: Annotated[list[str], Field(min_length=1)]
    """Names of the probe tasks that are trained."""
    crop_scale: Range
    """Area of random crops, as shares of the image's."""
    flip: bool
    """Mirror half of the images."""
    epochs: Positive
    """Passes of the authors' probe; all else is as in `probe`."""
    select_on_test: bool
    """Also give the epoch that is best on the *test* set, as the authors do: to compare with their number
    alone."""
    finetune: FineTune | None
    """Null for the probe alone."""


class Extended(Settings):
    """Everything beyond the figures."""

    rows: Annotated[list[str], Field(min_length=1)]
    """The rows of the grid that are measured; others have the figures alone."""
    probes: Probes
    augmented: Augmented | None
    """Null for runs without: `augmented` is then no target."""
    detection: Detection
    shift: Shift
    robustness: Robustness
