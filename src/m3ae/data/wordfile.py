"""Arrow files of word pieces: written in bounded memory, read by row from a memory map, without a copy.

A row is a list of ids, or a list of such lists; ids are uint16 where the vocabulary fits. Uncompressed, so
that all workers and ranks of a machine share the pages of one file.
"""

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import numpy as np
import pyarrow as pa

from m3ae.errors import UserError

BATCH_IDS = 1 << 22
"""Ids of a record batch: what a writer holds in memory (8 MB of uint16), at most so many twice."""


def id_type(vocab_size: int) -> pa.DataType:
    """The smallest type that the ids of a vocabulary fit in."""
    return pa.uint16() if vocab_size <= 1 << 16 else pa.int32()


class WordWriter:
    """Writes rows in record batches. The same rows in the same calls give the same bytes."""

    def __init__(
        self, file: IO[bytes], column: str, depth: int, vocab_size: int, facts: dict[str, str]
    ) -> None:
        self.ids = id_type(vocab_size)
        kind = self.ids
        for _ in range(depth):
            kind = pa.list_(kind)
        self.schema = pa.schema([(column, kind)], metadata=facts)
        self._writer = pa.ipc.new_file(file, self.schema)
        self._waiting: list[tuple[np.ndarray, ...]] = []

    def add(self, ids: np.ndarray, *lengths: np.ndarray) -> None:
        """Append rows: all ids in a line, and how many there are in each list, the innermost lists first."""
        self._waiting.append((ids.astype(self.ids.to_pandas_dtype()), *lengths))
        if sum(len(ids) for ids, *_ in self._waiting) >= BATCH_IDS:
            self._flush()

    def _flush(self) -> None:
        ids, *levels = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        array = pa.array(ids)
        for lengths in levels:
            ends = np.concatenate([[0], lengths.cumsum()])
            assert ends[-1] == len(array)
            array = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), array)
        self._writer.write_batch(pa.record_batch([array], schema=self.schema))
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and self._waiting:
            self._flush()
        self._writer.close()


class Flat(NamedTuple):
    """A record batch as arrays that lie in the file."""

    starts: list[np.ndarray]
    """Where each list begins, and where the last ends; the outermost lists first."""
    ids: np.ndarray


class WordFile:
    """The rows of a file. Raises UserError, one line, if it is missing, broken or another kind of file."""

    def __init__(self, path: Path, column: str, depth: int, wanted: set[str]) -> None:
        self.path = Path(path)
        self.again = f"snakemake --force {self.path} makes it again"
        schema, self._batches = self._read(column, depth)
        self.facts = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        if not wanted <= set(self.facts):
            raise UserError(f"{self.path}: expected the facts {', '.join(sorted(wanted))}; {self.again}")
        self._first_row = list(accumulate((len(batch.starts[0]) - 1 for batch in self._batches), initial=0))

    def __len__(self) -> int:
        return self._first_row[-1]

    def row(self, number: int) -> tuple[Flat, int]:
        """The record batch of a row, and its place in it."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.path}: row {number}: expected a number from 0 to {len(self) - 1}")
        batch = bisect_right(self._first_row, number) - 1
        return self._batches[batch], number - self._first_row[batch]

    def counts(self, vocab_size: int) -> np.ndarray:
        """How often each word piece occurs in the file."""
        counts = np.zeros(vocab_size, np.int64)
        for batch in self._batches:
            counts += np.bincount(batch.ids, minlength=vocab_size)
        return counts

    def _read(self, column: str, depth: int) -> tuple[pa.Schema, list[Flat]]:
        if not self.path.is_file():
            raise UserError(f"{self.path}: no such word pieces; snakemake {self.path} makes them")
        try:
            with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as file:
                batches = [file.get_batch(i) for i in range(file.num_record_batches)]
                schema = file.schema
            flat = [flatten(batch.column(0)) for batch in batches]
        except (pa.ArrowException, OSError, IndexError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.path}: not an Arrow file of word pieces ({reason}); {self.again}"
            ) from None
        if schema.names != [column] or any(len(batch.starts) != depth for batch in flat):
            raise UserError(
                f"{self.path}: expected one column {column!r} of lists in {depth} levels; {self.again}"
            )
        return schema, flat


def flatten(array: pa.Array) -> Flat:
    """Nested lists as flat arrays, without a copy. Raises ValueError for what is no such array.

    Through the buffers: ``to_numpy`` of the library imports pandas, a second and 26 MiB in every process.
    """
    starts = []
    while pa.types.is_list(array.type):
        starts.append(from_buffer(array, np.dtype(np.int32), len(array) + 1))
        array = array.values
    if not pa.types.is_integer(array.type):
        raise ValueError(f"expected whole numbers, got {array.type}")
    return Flat(starts, from_buffer(array, np.dtype(str(array.type)), len(array)))


def from_buffer(array: pa.Array, dtype: np.dtype, count: int) -> np.ndarray:
    """The numbers (of a list: its offsets) that an array has in its buffer."""
    _, buffer, *_ = array.buffers()
    if buffer is None or array.null_count:
        raise ValueError("expected no missing values")
    return np.frombuffer(buffer, dtype, count, array.offset * dtype.itemsize)
