"""Settings of everything that happens to a frozen encoder."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from m3ae.config.base import Positive, Settings, Share


class EvalSplit(Settings):
    """A split of an evaluation set of the registry (`config/datasets.yaml`)."""

    dataset: str
    """Name in the registry."""
    split: str
    """Split of it."""


class Task(Settings):
    """A classification task for the linear probe."""

    name: str
    """Name in tables and records."""
    dataset: str
    """Name in the registry."""
    train: str
    """Split that the probe is trained on."""
    test: str
    """Split that is touched once, for the number."""
    label: str
    """Column of the class."""


class Features(Settings):
    """The representation that is frozen and stored once per model."""

    pooling: Literal["cls", "mean"]
    """`cls`: the CLS token after the encoder's last LayerNorm; `mean`: the mean of the patches."""
    resize_px: Positive
    """Short side before the centre crop to `data.image.size_px` (pixels)."""
    precision: Literal["fp32", "bf16"]
    """In which the encoder computes; CLS or mean features are stored in fp32."""


class Probe(Settings):
    """The authors' linear probe: BatchNorm without affine parameters, one linear layer, LARS."""

    tasks: Annotated[list[Task], Field(min_length=1)]
    """The first is the one of Figure 3."""
    batch_size: Positive
    """Samples per step; a smaller training set is one batch."""
    epochs: Positive
    """Passes over the training features."""
    warmup_epochs: Annotated[int, Field(ge=0)]
    """Linear warm-up, then cosine to 0 (epochs)."""
    base_lrs: Annotated[list[float], Field(min_length=1)]
    """Learning rates for a batch of 256; with several, chosen on a split of the training set."""
    momentum: Share
    """LARS's momentum."""
    trust_coefficient: Annotated[float, Field(gt=0)]
    """LARS's trust coefficient."""
    validation_share: Annotated[float, Field(gt=0, lt=1)]
    """Share of the training set on which a learning rate is chosen."""


class OodPair(Settings):
    """An in-distribution task and a data set that is not of it."""

    name: str
    """Name in tables and records."""
    task: str
    """Name of the probe task whose test set, features and classifier are "in"."""
    out: EvalSplit
    """The set that is "out"."""


class Ood(Settings):
    """Out-of-distribution detection as in Figure 6."""

    pairs: Annotated[list[OodPair], Field(min_length=1)]
    """The first is the one of Figure 6."""
    bins: Positive
    """Bins of the histograms."""


WORD = re.compile(r"[^\W\d_]+")
"""What counts as a word of a caption."""


def as_captions_have_it(word: str) -> str:
    """A word as it can occur in a caption: letters alone, in lower case. Raises ValueError for another."""
    if not WORD.fullmatch(word) or word != word.lower():
        raise ValueError(
            f"expected one word of letters in lower case, got {word!r}: captions are read as such words, no "
            "other is ever found"
        )
    return word


class Concepts(Settings):
    """Multi-label classification of the run's own pairs: which things their captions name.

    Trained on the images of the split `train`, tested once on `heldout`. The paper has nothing like it.
    """

    words: Annotated[
        dict[str, list[Annotated[str, AfterValidator(as_captions_have_it)]]], Field(min_length=1)
    ]
    """Each concept and the words, in lower case, of which any in any caption of an image means it."""
    penalties: Annotated[list[float], Field(min_length=1)]
    """Strengths of the L2 penalty to choose from (logistic regression, 1 / C), on a part of `train`."""
    validation_share: Annotated[float, Field(gt=0, lt=1)]
    """Share of the training images on which a penalty is chosen."""


class Statistics(Settings):
    """Intervals."""

    draws: Positive
    """Bootstrap draws over test items."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Coverage of the percentile interval."""


class Check(Settings):
    """When a number counts as reproduced."""

    comparable: bool
    """Whether the run measures what the paper measured; else only orderings are judged."""
    tolerance_points: Annotated[float, Field(ge=0)]
    """Largest difference to the paper for "reproduced" (percentage points)."""
