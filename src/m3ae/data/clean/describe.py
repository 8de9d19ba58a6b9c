"""The files beside the clean tars: where each sample lies, its captions, where it came from."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from m3ae.data.clean.rejects import SCHEMA as REJECTED_SCHEMA
from m3ae.data.clean.shardwriter import ROWS, flush_to_disk
from m3ae.data.index import IndexWriter

CAPTIONS_SCHEMA = pa.schema([ROWS.field("captions"), ROWS.field("sha256")])
ORIGINS_SCHEMA = pa.schema([ROWS.field("url"), ROWS.field("key")])


def write_index(path: Path, shards: Iterable[pa.Table]) -> None:
    """Write ``index.arrow`` from the rows of each shard."""
    with IndexWriter(path) as writer:
        for number, rows in enumerate(shards):
            numbers = pa.array([number] * len(rows), pa.int32())
            columns = [rows[name] for name in ("offset", "size", "width", "height")]
            writer.extend(numbers.to_numpy(), *(column.to_numpy() for column in columns))


def write_columns(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write these columns of many tables as one Parquet file, each table a group of rows."""
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            if len(table):
                writer.write_table(table.select(schema.names))
    flush_to_disk(path)


def write_rejected(path: Path, logs: Iterable[Path]) -> None:
    """Write one list of rejections from several, in their order."""
    groups = (
        file.read_row_group(number)
        for file in map(pq.ParquetFile, logs)
        for number in range(file.num_row_groups)
    )
    write_columns(path, REJECTED_SCHEMA, groups)
