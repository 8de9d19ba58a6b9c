"""Reading clean shards: random access to images and captions by id."""

import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from m3ae.data.images import decode_rgb
from m3ae.data.manifest import INDEX, MANIFEST, Manifest, Shard, read_manifest
from m3ae.errors import UserError
from m3ae.files import sha256_of

MAX_OPEN = 256  # tars; a process may often open no more than 1,024 files


class Pairs:
    """The image-text pairs of a folder of clean shards, by id from 0.

    Light for millions of pairs, and safe to use from threads and forked processes. Raises
    UserError, one line, for a folder that is not what its manifest says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = check_folder(self.folder)
        table = pq.read_table(self.folder / INDEX, columns=["shard", "offset", "size"])
        self._shard, self._offset, self._size = (column.to_numpy() for column in table.columns)
        self._open = lru_cache(MAX_OPEN)(OpenFile)

    def __len__(self) -> int:
        return self.manifest.count

    def __reduce__(self) -> tuple[Any, ...]:
        return Pairs, (self.folder,)  # for processes that are spawned: open files cannot travel

    def jpeg(self, id: int) -> bytes:
        """The encoded image of a pair."""
        self._check(id)
        path = self.folder / self.manifest.shards[self._shard[id]].name
        data = self._open(path).read(int(self._size[id]), int(self._offset[id]))
        if len(data) != self._size[id]:
            raise UserError(f"{path}: sample {id} is cut off; {rebuild(self.folder)}")
        return data

    def image(self, id: int) -> Image.Image:
        """The image of a pair, RGB. Raises UserError, naming shard and sample, if it does not decode."""
        data = self.jpeg(id)
        try:
            return decode_rgb(data)
        except Exception as error:  # decoders raise many kinds on broken bytes
            shard = self.folder / self.manifest.shards[self._shard[id]].name
            raise UserError(
                f"{shard}: sample {id} does not decode ({error}); {rebuild(self.folder)}"
            ) from None

    def captions(self, id: int) -> list[str]:
        """The captions of a pair, normalised, at least one."""
        self._check(id)
        return self._captions[id].as_py()

    @cached_property
    def _captions(self) -> pa.ChunkedArray:
        # Read when first asked for: training reads tokens instead.
        return pq.read_table(self.folder / INDEX, columns=["captions"])["captions"]

    def _check(self, id: int) -> None:
        if not 0 <= id < len(self):
            raise IndexError(f"{self.folder}: sample {id}: expected an id from 0 to {len(self) - 1}")


class OpenFile:
    """A file for reading at offsets; has no position, so threads and forks do not disturb each other.

    Closed with its last reference: a reader may outlive the file's place in the cache.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``."""
        return os.pread(self._descriptor, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def iter_captions(folder: Path, batch_size: int) -> Iterator[list[list[str]]]:
    """The captions of every pair, in batches of pairs, in the order of ids."""
    with pq.ParquetFile(folder / INDEX) as file:
        for batch in file.iter_batches(batch_size, columns=["captions"]):
            yield batch.column(0).to_pylist()


def check_folder(folder: Path) -> Manifest:
    """The manifest of a folder whose index and sizes of shards agree with it. Reads no shard."""
    manifest = read_manifest(folder / MANIFEST)
    for shard in manifest.shards:
        check_size(folder, shard)
    index = folder / INDEX
    if not index.is_file() or sha256_of(index) != manifest.index_sha256:
        raise UserError(f"{index}: expected the index with the manifest's sha256; {rebuild(folder)}")
    return manifest


def check_size(folder: Path, shard: Shard) -> None:
    """Raise UserError unless a shard is there with the manifest's size."""
    path = folder / shard.name
    found = f"found {path.stat().st_size}" if path.is_file() else "found no such file"
    if found != f"found {shard.bytes}":
        raise UserError(f"{path}: expected {shard.bytes} bytes, {found}; {rebuild(folder)}")


def verify_shards(folder: Path) -> Manifest:
    """Recompute every checksum of a folder. Raises UserError, naming the shard, at the first that differs."""
    manifest = check_folder(folder)
    for shard in manifest.shards:
        found = sha256_of(folder / shard.name)
        if found != shard.sha256:
            raise UserError(
                f"{folder / shard.name}: expected sha256 {shard.sha256}, found {found}; {rebuild(folder)}"
            )
    return manifest


def rebuild(folder: Path) -> str:
    """What to do about broken shards."""
    return f"rebuild it: snakemake --force {folder / MANIFEST}"
