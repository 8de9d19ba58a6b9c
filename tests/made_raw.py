"""A source in memory, for the tests of cleaning: any samples and rejections, in any order."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from m3ae.data.raw.samples import Outcome, RawSample, Rejected


class MadeRaw:
    """Outcomes from a list; what was asked of it is counted."""

    name = "data/made"

    def __init__(self, outcomes: list[Outcome], kind: str = "made") -> None:
        self._outcomes = outcomes
        self.num_images = self.total = len(outcomes)
        self.num_rows = sum(len(o.captions) if isinstance(o, RawSample) else 1 for o in outcomes)
        self.origin: dict[str, Any] = {"kind": kind}
        self.asked_for: list[str] = []

    def outcomes(self) -> Iterator[Outcome]:
        yield from self._outcomes

    def samples(self, keys: Collection[str]) -> Iterator[RawSample]:
        for outcome in self._outcomes:
            if isinstance(outcome, RawSample) and outcome.key in keys:
                self.asked_for.append(outcome.key)
                yield outcome


def sample(number: int, image: bytes, *captions: str, orientation: int = 1) -> RawSample:
    """A sample with the key and URL of its number."""
    digest = hashlib.sha256(image).digest()
    texts = list(captions) or [f"caption {number}"]
    return RawSample(f"{number:09d}", f"http://web.test/{number}.jpg", image, digest, texts, orientation)


def failure(number: int, reason: str) -> Rejected:
    """A download that failed."""
    return Rejected(f"http://web.test/{number}.jpg", reason, "no detail", f"{number:09d}")
