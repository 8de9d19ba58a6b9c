"""What a source gives for each of its images: a sample, or the reason why there is none."""

from typing import NamedTuple

from m3ae.data.clean.orientation import UPRIGHT


class RawSample(NamedTuple):
    """One download: the bytes as received, with the captions of its URL."""

    key: str
    url: str
    image: bytes
    sha256: bytes
    """Digest of ``image``."""
    captions: list[str]
    orientation: int = UPRIGHT
    """Of the original, where img2dataset resized it (EXIF, 1 to 8)."""


class Rejected(NamedTuple):
    """A URL of the list that gave no sample."""

    url: str
    reason: str
    detail: str


Outcome = RawSample | Rejected
