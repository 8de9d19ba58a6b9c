"""``index.arrow``: where each sample lies in the clean shards; row i is sample i.

An Arrow IPC file, uncompressed, of one record batch: a reader maps it into memory, so that all workers and
ranks of a machine share the pages and none holds a copy.
"""

from array import array
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from m3ae.errors import UserError
from m3ae.files import atomic_write

SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("offset", pa.int64()),  # of the image's first byte in the tar
        ("size", pa.int32()),  # of the image (bytes)
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
CODES = {pa.int32(): "i", pa.int64(): "q"}  # of Python's `array`: 4 and 8 bytes


class Index(NamedTuple):
    """The columns of an index, mapped into memory and read-only."""

    shard: Int32[np.ndarray, " samples"]
    offset: Int64[np.ndarray, " samples"]
    size: Int32[np.ndarray, " samples"]
    width: Int32[np.ndarray, " samples"]
    height: Int32[np.ndarray, " samples"]


class IndexWriter:
    """Collects rows (24 bytes each) and writes them when closed; after an exception nothing is written."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._columns = [array(CODES[field.type]) for field in SCHEMA]

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, shard: int, offset: int, size: int, width: int, height: int) -> None:
        """Append one row."""
        for column, value in zip(self._columns, (shard, offset, size, width, height), strict=True):
            column.append(value)

    def extend(
        self, shard: np.ndarray, offset: np.ndarray, size: np.ndarray, width: np.ndarray, height: np.ndarray
    ) -> None:
        """Append many rows, a column at a time."""
        values = (shard, offset, size, width, height)
        assert len({len(column) for column in values}) == 1
        for column, new in zip(self._columns, values, strict=True):
            column.frombytes(np.ascontiguousarray(new, column.typecode).tobytes())

    def close(self) -> None:
        """Write the file atomically and to the disk: the same bytes for the same rows."""
        arrays = [
            pa.Array.from_buffers(field.type, len(self), [None, pa.py_buffer(column)])
            for field, column in zip(SCHEMA, self._columns, strict=True)
        ]
        batch = pa.record_batch(arrays, schema=SCHEMA)
        with atomic_write(self.path) as file, pa.ipc.new_file(file, SCHEMA) as writer:
            writer.write_batch(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()


def read_index(path: Path) -> Index:
    """Map an index into memory. Raises UserError, one line, if it is missing or another kind of file."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            if file.schema.equals(SCHEMA) and file.num_record_batches == 1:
                return Index(*map(as_numpy, file.get_batch(0).columns))
            found = f"{file.num_record_batches} record batches of {', '.join(file.schema.names)}"
    except FileNotFoundError:
        found = "no such file"
    except (pa.ArrowException, OSError) as error:
        found = f"another kind of file ({' '.join(str(error).split())})"
    expected = f"an Arrow file of one record batch with {', '.join(SCHEMA.names)}"
    raise UserError(f"{path}: expected {expected}, found {found}; rebuild the shards of {path.parent}")


def as_numpy(column: pa.Array) -> np.ndarray:
    """A column without nulls as it lies in the file. pyarrow's own ``to_numpy`` would import pandas."""
    kind = np.dtype(CODES[column.type])
    return np.frombuffer(column.buffers()[1], kind, count=len(column), offset=column.offset * kind.itemsize)
