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


class RejectLog:
    """Writes a Parquet file of rejections as they come, and counts them by reason."""

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

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = {name: [getattr(row, name) for row in self._rows] for name in SCHEMA.names}
        self._writer.write_table(pa.table(columns, SCHEMA))
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close() if error is None else self._writer.close()
