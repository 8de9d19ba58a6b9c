"""Writing clean tars: the same bytes for the same samples."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa

from m3ae.data.clean.examine import CleanSample

# What is known of each sample of a tar, and goes into the files that describe all of them.
ROWS = pa.schema(
    [
        ("offset", pa.int64()),  # of the image's first byte in the tar
        ("size", pa.int32()),  # of the image (bytes)
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("captions", pa.list_(pa.string())),
        ("sha256", pa.string()),  # of the image as received
        ("url", pa.string()),
        ("key", pa.string()),
    ]
)


class Row(NamedTuple):
    """One sample of a tar, in the order of the schema."""

    offset: int
    size: int
    width: int
    height: int
    captions: list[str]
    sha256: str
    url: str
    key: str


class TarWriter:
    """Appends samples to one tar, numbered from ``first_id``."""

    def __init__(self, file: IO[bytes], first_id: int) -> None:
        self.first_id = first_id
        self.rows: list[Row] = []
        # The plain format: a header is 512 bytes, so offsets are known in advance.
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, sample: CleanSample) -> None:
        """Append a sample: its image, and its captions with the digest of the image as received."""
        id, image, digest = self.first_id + len(self.rows), sample.image, sample.sha256.hex()
        facts = json.dumps({"captions": sample.captions, "sha256": digest}, ensure_ascii=False)
        offset = append(self._tar, f"{id:08d}.jpg", image.jpeg)
        append(self._tar, f"{id:08d}.json", facts.encode())
        place = (offset, len(image.jpeg), image.width, image.height)
        self.rows.append(Row(*place, sample.captions, digest, sample.url, sample.key))

    def close(self) -> pa.Table:
        """End the tar; returns the table of its samples."""
        self._tar.close()
        return as_table(self.rows)


def as_table(rows: list[Row]) -> pa.Table:
    """Rows as columns."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(ROWS)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, ROWS, strict=True)], schema=ROWS)


def append(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file without owner, with time 0 and mode 0644; returns the offset of its first byte."""
    member = tarfile.TarInfo(name)  # defaults: mtime 0, uid 0, gid 0, no names, mode 0644
    member.size = len(data)
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(data))
    tar.members.clear()  # type: ignore[attr-defined]  # it would remember every member
    return offset


def shard_name(number: int) -> str:
    """File name of a clean shard."""
    return f"{number:05d}.tar"


def flush_to_disk(path: Path) -> None:
    """Make sure that a power cut after the folder's rename cannot empty the file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
