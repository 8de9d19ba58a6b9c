"""A folder of images, with a table of captions or (split `images`) without any."""

import errno
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from m3ae.config import Run
from m3ae.config.data import ImageFolder
from m3ae.config.sources import below_root, source_of
from m3ae.data.raw.broken import broken_outcome
from m3ae.data.raw.local import Listed, LocalRaw
from m3ae.data.raw.samples import Outcome, Rejected
from m3ae.data.raw.tables import read_table
from m3ae.data.source.broken import BrokenRow
from m3ae.data.source.files import escape
from m3ae.errors import UserError


class FolderRaw(LocalRaw):
    """Images below a folder. The key of a sample, and its URL, is the path of its image there."""

    def __init__(self, run: Run, split: str) -> None:
        super().__init__(run, split)
        source = source_of(run, split)
        self.root = below_root(source.images)  # type: ignore[union-attr]
        self.real_root = os.path.realpath(self.root)
        self.captions: dict[str, list[str]] | None = None
        self.broken: list[BrokenRow] = []
        if isinstance(source, ImageFolder):
            self.total = self.report.images
        else:
            table = read_table(Path(next(self.files()).location))
            self.captions = {name: texts for name, texts in table.captions.items() if self.takes(name)}
            # Rows that are no rows are listed once, with the pairs that are trained on.
            self.broken = table.broken if self.side is None or not self.side.is_heldout else []
            self.total = len(self.captions) + len(self.broken)

    def read(self, keys: Collection[str] | None) -> Iterator[Listed]:
        """The images in the order of the table, or of their paths; then the table's broken rows."""
        for name, captions in self.listed():
            key = escape(name) if self.captions is None else name
            if keys is None or key in keys:
                yield Listed(self.outcome(name, key, captions), len(captions))
        if keys is None:
            yield from (Listed(broken_outcome(row), 1) for row in self.broken)

    def listed(self) -> Iterable[tuple[str, list[str]]]:
        """Each image with its captions."""
        if self.captions is None:
            return ((file.location, []) for file in self.files())
        return self.captions.items()

    def outcome(self, name: str, key: str, captions: list[str]) -> Outcome:
        """One image, or why there is none."""
        path = self.root / name
        if self.is_outside(name):
            return Rejected(key, "image_outside", f"leads out of {self.root}", key)
        try:
            if not path.is_file():
                what = "a folder" if path.is_dir() else "nothing"
                return Rejected(key, "image_missing", f"expected a file, found {what}", key)
            if (size := path.stat().st_size) > self.max_bytes:
                return self.too_heavy(key, key, size)
            return self.sample(key, key, path.read_bytes(), captions)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return Rejected(key, "image_missing", "expected a file, found a name too long for one", key)
            raise UserError(f"{path}: cannot be read ({error.strerror}); mend that, then run again") from None

    def is_outside(self, name: str) -> bool:
        """Whether a name leaves the folder: absolute, through .., or by a link."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\0" in name:
            return True
        return os.path.commonpath([os.path.realpath(self.root / name), self.real_root]) != self.real_root
