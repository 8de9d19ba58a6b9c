"""Settings of what a user of an encoder asks beyond the paper's figures, for the `headline` rows of a run."""

from typing import Annotated, Literal

from pydantic import Field

from m3ae.config.base import Positive, Settings
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


class Extended(Settings):
    """Everything beyond the figures."""

    rows: Annotated[list[str], Field(min_length=1)]
    """The rows of the grid that are measured; others have the figures alone."""
    probes: Probes
    detection: Detection
    shift: Shift
    robustness: Robustness
