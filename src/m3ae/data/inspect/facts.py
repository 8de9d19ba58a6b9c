"""What an inspection finds: the content of ``inspect.json``."""

from typing import Self

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from m3ae.data.inspect.histogram import Bin, histogram


class Facts(BaseModel):
    """A part of an inspection."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(Facts):
    """How a quantity is spread; quantiles interpolate between neighbours, as numpy's default."""

    mean: float
    min: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """The spread of at least one value."""
        names = ("min", "p5", "p25", "median", "p75", "p95", "max")
        quantiles = np.quantile(values, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist()
        return cls(mean=float(values.mean(dtype=np.float64)), **dict(zip(names, quantiles, strict=True)))


class Rejection(Facts):
    """Samples of the source that were not kept, for one reason."""

    reason: str
    count: int
    share: float
    """Of everything that the source listed."""
    example: str
    """The detail of the first of them: a message of a server or a decoder."""


class Images(Facts):
    """Sizes of the kept images: of every one, from the index."""

    num: int
    width: Spread
    height: Spread
    aspect: Spread
    """Long side / short side."""
    bytes: Spread
    total_bytes: int


class Lengths(Facts):
    """How long captions are."""

    unit: str
    """`characters`, or `word pieces` (at most data.tokens.max_tokens: longer captions were cut)."""
    spread: Spread
    bins: list[Bin]

    @classmethod
    def of(cls, unit: str, lengths: np.ndarray) -> Self:
        """The lengths of at least one caption."""
        return cls(unit=unit, spread=Spread.of(lengths), bins=histogram(lengths))


class Captions(Facts):
    """Captions, of some of the samples: whole row groups of captions.parquet, drawn at random."""

    num_samples: int
    """Samples whose captions were read."""
    num: int
    """Captions read."""
    per_image: dict[int, int]
    """Number of captions -> number of images that have so many."""
    repeated: int
    """Captions that say, letter by letter, what an earlier one of those read says."""
    lengths: list[Lengths]


class Estimate(Facts):
    """A value in [0, 1], with its 95 % interval over the split; no width where every image was read."""

    value: float
    low: float
    high: float
    configured: float | None
    """The run's constant, where a run was named."""


class Channel(Facts):
    """One colour."""

    name: str
    mean: Estimate
    std: Estimate


class Pixels(Facts):
    """Mean and standard deviation of the pixels of some of the images."""

    num_images: int
    size_px: int
    """Short side to this, centre crop of this."""
    run: str | None
    """Whose constants stand beside them."""
    channels: list[Channel]


class Inspection(Facts):
    """Everything."""

    folder: str
    split: str
    seed: int
    """Of the draw of samples."""
    count: int
    """Samples in the shards."""
    num_shards: int
    bytes: int
    """Of the shards."""
    yield_: dict[str, int | float] = Field(
        validation_alias=AliasChoices("yield_", "yield"), serialization_alias="yield"
    )
    """As in the manifest."""
    rejected: list[Rejection]
    """Most frequent first."""
    duplicates: int
    """Of `rejected`, those whose image equals a kept one."""
    images: Images | None
    captions: Captions | None
    """None where no sample that was read has one."""
    no_pieces: str | None
    """Why lengths in word pieces are missing; None where they are there."""
    pixels: Pixels | None
