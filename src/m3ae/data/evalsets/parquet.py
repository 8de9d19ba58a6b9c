"""A split as Parquet files with encoded images and labels; rows are numbered through the files."""

from bisect import bisect
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64
from PIL import Image
from tqdm import tqdm

from m3ae.config.datasets import Dataset, files_of, split_of
from m3ae.data.evalsets.listing import ListedFile, ListedSplit
from m3ae.data.images import decode_rgb
from m3ae.errors import UserError
from m3ae.files import sha256_of

MOST_BYTES = 8 << 30
"""Files that random access holds in memory (bytes)."""


class ParquetSplit:
    """The files of a split, whose footers were read."""

    def __init__(self, run: str | None, dataset: Dataset, split: str) -> None:
        self.dataset, self.split = dataset, split_of(dataset, split)
        self.paths = files_of(run, dataset, split)
        self.counts = [count_rows(path, dataset) for path in self.paths]

    @property
    def where(self) -> Path:
        """File or pattern."""
        return self.paths[0].parent / Path(self.split.path).name

    @property
    def count(self) -> int:
        """Rows of all files."""
        return sum(self.counts)

    def listed(self, full: bool) -> ListedSplit:
        """Hash every file. Raises UserError for a checksum other than the registry's."""
        bar = tqdm(self.paths, desc="checksums", unit="file", disable=None)
        sums = [sha256_of(path) for path in bar]
        expected = self.split.sha256
        if expected is not None and sums != [expected]:
            raise UserError(
                f"{self.where}: expected sha256 {expected}, found {', '.join(sums)}; "
                f"get it again: {self.dataset.source}"
            )
        listed = zip(self.paths, sums, self.counts, strict=True)
        files = [ListedFile(name=path.name, sha256=sha256, count=count) for path, sha256, count in listed]
        return ListedSplit(files=files, count=self.count)

    def difference(self, listed: ListedSplit) -> str | None:
        """What differs from the listing, by names and counts; None if nothing does."""
        found = [(path.name, count) for path, count in zip(self.paths, self.counts, strict=True)]
        expected = [(file.name, file.count) for file in listed.files]
        return None if found == expected else f"expected {counted(expected)}, found {counted(found)}"

    def labels(self, name: str) -> Int64[np.ndarray, " count"]:
        """A label column: classes from 0."""
        num_classes = self.dataset.num_classes(name)
        return np.concatenate([read_labels(path, name, num_classes) for path in self.paths])

    def batches(self, batch_size: int) -> Iterator[list[Image.Image]]:
        """RGB images, streamed; the last batch of a file may be smaller."""
        for path in self.paths:
            row = 0
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size, columns=[self.dataset.image]):
                    cells = image_bytes(batch.column(0))
                    yield [decode_row(path, row + i, cell.as_py()) for i, cell in enumerate(cells)]
                    row += len(cells)

    def image(self, row: int) -> Image.Image:
        """One RGB image. The first call reads the encoded images of all files into memory."""
        file = bisect(self._starts, row) - 1
        return decode_row(self.paths[file], row - self._starts[file], self._encoded[row].as_py())

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(self.counts[:-1])]

    @cached_property
    def _encoded(self) -> pa.ChunkedArray:
        total = sum(path.stat().st_size for path in self.paths)
        if total > MOST_BYTES:
            raise UserError(
                f"{self.where}: expected at most {MOST_BYTES >> 30} GiB to train on, held in memory, "
                f"got {total >> 30} GiB; unpack the set into class folders and name these in the registry"
            )
        columns = [pq.read_table(path, columns=[self.dataset.image]).column(0) for path in self.paths]
        return pa.chunked_array([image_bytes(chunk) for column in columns for chunk in column.chunks])


def image_bytes(column: pa.Array) -> pa.Array:
    """The encoded images: the column itself, or the field of Hugging Face's {bytes, path}."""
    # pyarrow's struct_field keeps the rows that are null, which Array.field would not.
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def decode_row(path: Path, row: int, data: bytes | None) -> Image.Image:
    """One image, RGB. Raises UserError naming file and row (0-based)."""
    if data is None:
        raise UserError(f"{path}: row {row}: expected an encoded image, found none; get the file again")
    try:
        return decode_rgb(data)
    except Exception as error:  # decoders raise many kinds on broken bytes
        raise UserError(
            f"{path}: row {row}: the image does not decode ({error}); get the file again"
        ) from None


def count_rows(path: Path, dataset: Dataset) -> int:
    """Rows of a Parquet file, from its footer. Raises UserError if it lacks one of the columns."""
    try:
        with pq.ParquetFile(path) as file:
            columns, count = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path}: not a whole Parquet file ({error}); get it again: {dataset.source}"
        ) from None
    for name in (dataset.image, *dataset.labels):
        if name not in columns.names:
            raise UserError(f"{path}: expected a column {name!r}, found {', '.join(columns.names)}")
    kind = columns.field(dataset.image).type
    encoded = kind.field("bytes").type if is_hugging_face(kind) else kind
    if not (pa.types.is_binary(encoded) or pa.types.is_large_binary(encoded)):
        raise UserError(f"{path}: column {dataset.image!r}: expected encoded images (binary), found {kind}")
    return count


def is_hugging_face(kind: pa.DataType) -> bool:
    """Whether a column is a struct {bytes, path}."""
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def read_labels(path: Path, label: str, num_classes: int) -> Int64[np.ndarray, " count"]:
    """A label column of one file. Raises UserError, naming the row (0-based), for one out of range."""
    column = pq.read_table(path, columns=[label])[label]
    if not pa.types.is_integer(column.type):
        raise UserError(f"{path}: column {label!r}: expected integers, found {column.type}")
    labels = column.cast(pa.int64()).fill_null(-1).to_numpy()
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        came = column[int(wrong[0])].as_py()
        raise UserError(
            f"{path}: row {wrong[0]}: expected {label!r} from 0 to {num_classes - 1}, found {came} "
            f"({len(wrong)} such rows); is it the split without labels, or another version of the set?"
        )
    return labels


def counted(files: list[tuple[str, int]]) -> str:
    """Files and their rows in words, the first few."""
    shown = ", ".join(f"{name} ({count} rows)" for name, count in files[:3])
    return shown + (f" and {len(files) - 3} more" if len(files) > 3 else "")
