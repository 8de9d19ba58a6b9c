"""The index: mapped into memory without a copy, the same bytes for the same rows, refused where broken."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from m3ae.data.index import SCHEMA, IndexWriter, read_index
from m3ae.errors import UserError

ROWS = [(0, 512, 3000, 256, 300), (0, 5120, 2**31 - 1, 64, 64), (1199, 2**40, 1, 1, 2)]


def write_rows(index, rows):
    for row in rows:
        index.add(*row)


def write(path, rows):
    with IndexWriter(path) as index:
        write_rows(index, rows)
    return path


def test_rows_come_back(tmp_path):
    index = read_index(write(tmp_path / "index.arrow", ROWS))
    assert list(zip(*(column.tolist() for column in index), strict=True)) == ROWS
    assert [column.dtype for column in index] == [np.int32, np.int64, np.int32, np.int32, np.int32]


def test_an_empty_index_is_an_index(tmp_path):
    assert all(len(column) == 0 for column in read_index(write(tmp_path / "index.arrow", [])))


def test_rows_and_blocks_give_the_same_bytes(tmp_path):
    one = write(tmp_path / "one", ROWS * 100).read_bytes()
    with IndexWriter(tmp_path / "block") as index:
        index.add(*ROWS[0])
        index.extend(*(np.array(column) for column in zip(*(ROWS * 100)[1:], strict=True)))
        assert len(index) == 300
    assert (tmp_path / "block").read_bytes() == one


def test_the_file_is_plain_arrow_of_one_batch(tmp_path):
    with pa.ipc.open_file(str(write(tmp_path / "index.arrow", ROWS))) as file:
        assert file.num_record_batches == 1
        assert file.read_all().to_pylist() == [dict(zip(SCHEMA.names, row, strict=True)) for row in ROWS]


def test_columns_are_read_only_and_lie_in_the_file(tmp_path):
    path = tmp_path / "index.arrow"
    index = read_index(write(path, ROWS * 1000))
    with pytest.raises(ValueError, match="read-only"):
        index.size[0] = 1
    assert not any(column.flags.owndata for column in index)
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert str(path) in mapped


def test_reading_takes_no_memory(tmp_path):
    """A million rows are 24 MB of file; the reader's own memory does not grow by a twentieth of it."""
    count = np.arange(1_000_000)
    with IndexWriter(tmp_path / "index.arrow") as index:
        index.extend(count // 10_000, count, count, count, count)
    code = """
import sys, psutil
from m3ae.data.index import read_index
read_index(sys.argv[2])  # what the first of all reads takes
before = psutil.Process().memory_full_info().uss
index = read_index(sys.argv[1])
assert index.offset[-1] == 999_999
print(psutil.Process().memory_full_info().uss - before)
"""
    command = [
        sys.executable,
        "-c",
        code,
        str(tmp_path / "index.arrow"),
        str(write(tmp_path / "small", ROWS)),
    ]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 1.2e6


def test_nothing_is_written_after_an_exception(tmp_path):
    with pytest.raises(OverflowError), IndexWriter(tmp_path / "index.arrow") as index:
        write_rows(index, [ROWS[0], (2**31, 0, 0, 0, 0)])
    assert not any(tmp_path.iterdir())


def test_a_value_that_does_not_fit_is_no_other_value(tmp_path):
    with pytest.raises(OverflowError), IndexWriter(tmp_path / "index.arrow") as index:
        index.add(0, 0, 2**31, 1, 1)


@pytest.mark.parametrize("content", [None, b"", b"x", b"ARROW1\0\0 and then nothing", b"PAR1" * 100])
def test_what_is_no_index_is_one_line(tmp_path, content):
    path = tmp_path / "index.arrow"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"index.arrow: expected an Arrow file of one record batch") as caught:
        read_index(path)
    assert "\n" not in str(caught.value)


def test_other_columns_are_refused(tmp_path):
    table = pa.table({"shard": pa.array([1], pa.int32()), "offset": pa.array([1], pa.int64())})
    with pa.ipc.new_file(str(tmp_path / "index.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match="found 1 record batches of shard, offset; rebuild"):
        read_index(tmp_path / "index.arrow")
