"""Writing clean shards: tars and their index, the same bytes for the same samples."""

import io
import json
import os
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from m3ae.data.clean.examine import CleanSample
from m3ae.data.manifest import INDEX, Shard
from m3ae.files import sha256_of

INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),  # of the image's first byte in the tar
        ("size", pa.int64()),  # of the image (bytes)
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("captions", pa.list_(pa.string())),
        ("url", pa.string()),
        ("sha256", pa.string()),  # of the image as received
    ]
)


class ShardWriter:
    """Appends samples with dense ids, ``shard_samples`` to a tar; the index grows a tar at a time."""

    def __init__(self, folder: Path, shard_samples: int) -> None:
        self.folder, self.shard_samples = folder, shard_samples
        self.count = 0
        self.shards: list[Shard] = []
        self._rows: list[dict[str, Any]] = []
        self._tar: tarfile.TarFile | None = None
        self._index = pq.ParquetWriter(folder / INDEX, INDEX_SCHEMA)

    def add(self, sample: CleanSample) -> int:
        """Append a sample; returns its id."""
        id, jpeg = self.count, sample.image.jpeg
        facts = {"captions": sample.captions, "sha256": sample.sha256.hex(), "url": sample.url}
        tar = self._open_shard()
        offset = append(tar, f"{id:08d}.jpg", jpeg)
        append(tar, f"{id:08d}.json", json.dumps(facts, ensure_ascii=False).encode())
        place = {"id": id, "shard": len(self.shards), "offset": offset, "size": len(jpeg)}
        size = {"width": sample.image.width, "height": sample.image.height}
        self._rows.append({**place, **size, **facts})
        self.count += 1
        if len(self._rows) == self.shard_samples:
            self._finish_shard()
        return id

    @property
    def _path(self) -> Path:
        return self.folder / f"{len(self.shards):05d}.tar"

    def _open_shard(self) -> tarfile.TarFile:
        if self._tar is None:
            # The plain format: a header is 512 bytes, so offsets are known in advance.
            self._tar = tarfile.open(self._path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        return self._tar

    def _finish_shard(self) -> None:
        self._open_shard().close()
        self._tar = None
        flush_to_disk(self._path)
        self._index.write_table(pa.Table.from_pylist(self._rows, INDEX_SCHEMA))
        path, count = self._path, len(self._rows)
        shard = Shard(name=path.name, count=count, bytes=path.stat().st_size, sha256=sha256_of(path))
        self.shards.append(shard)
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and self._rows:
            self._finish_shard()
        if self._tar is not None:
            self._tar.close()
        self._index.close()
        if error is None:
            flush_to_disk(self.folder / INDEX)


def append(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file without owner, with time 0 and mode 0644; returns the offset of its first byte."""
    member = tarfile.TarInfo(name)  # defaults: mtime 0, uid 0, gid 0, no names, mode 0644
    member.size = len(data)
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(data))
    return offset


def flush_to_disk(path: Path) -> None:
    """Make sure that a power cut after the folder's rename cannot empty the file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
