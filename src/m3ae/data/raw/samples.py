"""What a source gives for each of its images: a sample, or the reason why there is none."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, Protocol

from m3ae.data.clean.orientation import UPRIGHT


class RawSample(NamedTuple):
    """One image: the bytes as received, with all its captions."""

    key: str
    """Names the sample within its source: what `Raw.samples` asks for."""
    url: str
    """Where the source has it from: an address, or its key where there is none."""
    image: bytes
    sha256: bytes
    """Digest of ``image``."""
    captions: list[str]
    orientation: int = UPRIGHT
    """Of the original, where img2dataset resized it (EXIF, 1 to 8)."""


class Rejected(NamedTuple):
    """An image of the source that gave no sample."""

    url: str
    reason: str
    detail: str
    key: str = ""


Outcome = RawSample | Rejected


class Raw(Protocol):
    """A split as its source gives it, in one stream: the same for lists, crawls, folders and HDF5."""

    name: str
    """What errors name."""
    num_rows: int
    """Captions listed; valid once `outcomes` is exhausted."""
    num_images: int
    """Distinct images listed; valid once `outcomes` is exhausted."""
    total: int | None
    """Images, for a progress bar; None where that is not known beforehand."""
    origin: dict[str, Any]
    """Facts about the source: its kind, its files, the SHA-256 of its list. Not part of the result."""

    def outcomes(self) -> Iterator[Outcome]:
        """What became of every image, in the order of the source: the same on every machine."""
        ...

    def samples(self, keys: Collection[str]) -> Iterator[RawSample]:
        """These samples alone, in the same order, reading as little as possible."""
        ...
