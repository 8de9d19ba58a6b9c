"""Rejected samples: one reason each, counted and listed in ``rejected.parquet``."""

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from m3ae.data.raw.samples import Rejected

SCHEMA = pa.schema([("url", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
BUFFER_ROWS = 10_000


class RejectionError(Exception):
    """A sample does not satisfy the settings; ``reason`` is the name under which it is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class RejectLog:
    """Writes ``rejected.parquet`` as rejections come, and counts them by reason."""

    def __init__(self, path: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._rows: list[Rejected] = []
        self._writer = pq.ParquetWriter(path, SCHEMA)

    def add(self, rejected: Rejected) -> None:
        """Note one rejection."""
        self.counts[rejected.reason] += 1
        self._rows.append(rejected)
        if len(self._rows) == BUFFER_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows = [row._asdict() for row in self._rows]
        self._writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and self._rows:
            self._flush()
        self._writer.close()
