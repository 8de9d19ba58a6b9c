"""Settings of the figures that look into a model: attention (Figures 7 and 8) and classes (Figure 9)."""

from typing import Annotated

from pydantic import Field

from m3ae.config.base import Count, Positive, Settings


class Attended(Settings):
    """Attention between words and patches of held-out pairs, nothing hidden."""

    words: Annotated[list[str], Field(min_length=1)]
    """Words in lower case; of each the first held-out pair is shown whose caption has it exactly once."""
    block: Positive
    """Block of the encoder, counted from its end: 1 is the last. The mean over its heads is shown."""


class Clusters(Settings):
    """How the classes of a test set lie in the features of MAE and M3AE."""

    task: str
    """Name of the probe task whose test images are shown."""
    classes: Annotated[list[Count], Field(min_length=2)]
    """Classes by their number."""
    per_class: Positive
    """Images of each class: the first ones of the test set."""
    neighbours: Positive
    """Nearest other images that vote for an image's class (Euclidean distance)."""
    perplexity: Annotated[float, Field(gt=0)]
    """Of t-SNE: about how many neighbours an image keeps close."""
