"""What the readers of local files share: sides, counts, and the bound on an image's bytes."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from m3ae.config import Run
from m3ae.data.raw.report import read_report, side_of
from m3ae.data.raw.samples import Outcome, RawSample, Rejected
from m3ae.data.source.files import SourceFile, read_files


class Listed(NamedTuple):
    """An image of the source."""

    outcome: Outcome
    num_captions: int
    """Captions that are listed for it, whatever became of it."""


class LocalRaw(ABC):
    """A split that lies in files. A kind of source says in `read` what is in them."""

    def __init__(self, run: Run, split: str) -> None:
        self.name = str(run.paths.list(split))
        self.run, self.split = run, split
        self.has_captions = split != "images"
        self.max_bytes = run.settings.data.download.max_bytes
        self.report = read_report(run, split)
        self.side = side_of(self.report, split)
        self.num_rows = self.num_images = 0
        self.total: int | None = None
        self.origin: dict[str, Any] = self.report.model_dump(exclude={"images"})

    @abstractmethod
    def read(self, keys: Collection[str] | None) -> Iterator[Listed]:
        """The images of this side, in order; of ``keys`` alone, if they are given."""

    def outcomes(self) -> Iterator[Outcome]:
        """What became of every image, in the order of the source."""
        self.num_rows = self.num_images = 0
        for outcome, num_captions in self.read(None):
            self.num_rows += num_captions if self.has_captions else 1
            self.num_images += 1
            yield outcome

    def samples(self, keys: Collection[str]) -> Iterator[RawSample]:
        """These samples alone, in the same order."""
        for outcome, _ in self.read(frozenset(keys)):
            if isinstance(outcome, RawSample):
                yield outcome

    def files(self) -> Iterator[SourceFile]:
        """The files of the split."""
        return read_files(self.run.paths.list(self.split))

    def takes(self, *identities: str) -> bool:
        """Whether an image is of this side."""
        return self.side is None or self.side.takes(list(identities))

    def sample(self, key: str, url: str, image: bytes, captions: list[str]) -> Outcome:
        """A sample, unless its image is beyond the bound."""
        if len(image) > self.max_bytes:
            return self.too_heavy(key, url, len(image))
        texts = captions if self.has_captions else []
        return RawSample(key, url, image, hashlib.sha256(image).digest(), texts)

    def too_heavy(self, key: str, url: str, size: int) -> Rejected:
        """The rejection of an image beyond the bound."""
        detail = f"{size} bytes, at most {self.max_bytes} (data.download.max_bytes)"
        return Rejected(url, "image_too_heavy", detail, key)
