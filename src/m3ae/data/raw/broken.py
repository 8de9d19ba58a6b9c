"""Rows that the list of a split was made without: rejected under `list_broken`, after everything else."""

from collections.abc import Collection, Iterator

from m3ae.config import Run
from m3ae.data.raw.samples import Outcome, Raw, RawSample, Rejected
from m3ae.data.source.broken import BrokenRow, read_broken

REASON = "list_broken"


def with_broken_rows(raw: Raw, run: Run, split: str) -> Raw:
    """The raw samples of a list, with the rows that it was made without."""
    rows = list(read_broken(run.paths.list(split)))
    return WithBrokenRows(raw, rows) if rows else raw


def broken_outcome(row: BrokenRow) -> Rejected:
    """A broken row as an outcome."""
    return Rejected("", REASON, f"line {row.number}: {row.detail}")


class WithBrokenRows:
    """Raw samples, and then the rows that are no rows: each counts as an image with one caption."""

    def __init__(self, raw: Raw, rows: list[BrokenRow]) -> None:
        self.raw, self.rows = raw, rows
        self.name, self.origin = raw.name, raw.origin
        self.total = None if raw.total is None else raw.total + len(rows)
        self.num_rows = self.num_images = 0

    def outcomes(self) -> Iterator[Outcome]:
        """What became of every row."""
        yield from self.raw.outcomes()
        yield from map(broken_outcome, self.rows)
        self.num_rows = self.raw.num_rows + len(self.rows)
        self.num_images = self.raw.num_images + len(self.rows)
        self.origin = {**self.raw.origin, "broken_rows": len(self.rows)}

    def samples(self, keys: Collection[str]) -> Iterator[RawSample]:
        """These samples alone."""
        return self.raw.samples(keys)
