"""Evaluation sets: checked once against the registry, then streamed from their Parquet files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64
from PIL import Image
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.datasets import Dataset, files_of, load_dataset
from m3ae.data.evalsets.listing import ListedFile, ListedSplit, Listing, read_listing
from m3ae.data.images import decode_rgb
from m3ae.errors import UserError
from m3ae.files import sha256_of, write_text


def check_evalset(run: Run, dataset: str) -> None:
    """Check the splits of a data set that the run uses against the registry; write the listing.

    Raises UserError, with what was expected and what came, for a wrong count, checksum, column
    or label.
    """
    entry = load_dataset(dataset)
    used = [split.split for split in run.eval_splits if split.dataset == dataset]
    if not used:
        known = ", ".join(run.eval_datasets)
        raise UserError(f"data set {dataset!r}: expected one that run {run.name!r} uses: {known}")
    listing = Listing(
        dataset=dataset,
        title=entry.title,
        splits={split: list_split(run, entry, split) for split in used},
        labels={label: entry.num_classes(label) for label in entry.labels},
    )
    write_text(run.paths.evalset(dataset), listing.model_dump_json(indent=1) + "\n")


def list_split(run: Run, dataset: Dataset, split: str) -> ListedSplit:
    """Count, hash and check the files of a split."""
    paths, expected = files_of(run.name, dataset, split), dataset.splits[split]
    counts = [count_rows(path, dataset) for path in paths]
    where, again = paths[0].parent / Path(expected.path).name, f"get it again: {dataset.source}"
    if expected.count not in (None, sum(counts)):
        raise UserError(f"{where}: expected {expected.count} rows, found {sum(counts)}; {again}")
    sums = [sha256_of(path) for path in tqdm(paths, desc=f"checking {split}", unit="file", disable=None)]
    if expected.sha256 is not None and sums != [expected.sha256]:
        raise UserError(f"{where}: expected sha256 {expected.sha256}, found {', '.join(sums)}; {again}")
    for path in paths:
        for label in dataset.labels:
            read_labels(path, label, dataset.num_classes(label))
    listed = zip(paths, sums, counts, strict=True)
    files = [ListedFile(name=path.name, sha256=sha256, count=count) for path, sha256, count in listed]
    return ListedSplit(files=files, count=sum(counts))


class EvalImages:
    """The images and labels of one split, in the order of its rows.

    Raises UserError if the listing is missing, or if the files are not the listed ones any more.
    """

    def __init__(self, run: Run, dataset: str, split: str) -> None:
        self.dataset = load_dataset(dataset)
        listed = read_listing(run.paths.evalset(dataset), split)
        self.paths = files_of(run.name, self.dataset, split)
        self.count = listed.count
        found = [(path.name, count_rows(path, self.dataset)) for path in self.paths]
        expected = [(file.name, file.count) for file in listed.files]
        if found != expected:
            path = run.paths.evalset(dataset)
            raise UserError(
                f"{path}: {split}: expected {counted(expected)}, found {counted(found)}; "
                f"check the files again: snakemake --force {path}"
            )

    def __len__(self) -> int:
        return self.count

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
