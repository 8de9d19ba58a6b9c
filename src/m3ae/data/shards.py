"""Reading clean shards: random access to images and captions by id."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from m3ae.data.images import decode_rgb
from m3ae.data.index import read_index
from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, Manifest, Shard, read_manifest
from m3ae.data.packed import unpack
from m3ae.data.remote import Span, remote_folder
from m3ae.data.tars import Tars
from m3ae.errors import UserError
from m3ae.files import sha256_of


class Pairs:
    """The image-text pairs of a folder of clean shards, by id from 0; of the split `images`, images alone.

    Light for millions of pairs: the index is mapped into memory and shared. Safe to use from threads and
    forked processes. Raises UserError, one line, for a folder that is not what its manifest says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = check_folder(self.folder)
        self.index = read_index(self.folder / INDEX)
        self._tars = Tars(self.folder, self.manifest.shards)

    def __len__(self) -> int:
        return self.manifest.count

    def __reduce__(self) -> tuple[Any, ...]:
        return Pairs, (self.folder,)  # for processes that are spawned: open files cannot travel

    def jpegs(self, ids: Sequence[int]) -> list[bytes]:
        """The encoded images of some samples; from a network, in one request."""
        jpegs = self._tars.read([self._span(id) for id in ids])
        for id, jpeg in zip(ids, jpegs, strict=True):
            if len(jpeg) != self.index.size[id]:
                raise UserError(f"{self._tar(id)}: sample {id} is cut off; {rebuild(self.folder)}")
        return jpegs

    def jpeg(self, id: int) -> bytes:
        """The encoded image of a sample."""
        return self.jpegs([id])[0]

    def image(self, id: int) -> Image.Image:
        """The image of a sample, RGB. Raises UserError, naming shard and sample, if it does not decode."""
        data = self.jpeg(id)
        try:
            return decode_rgb(data)
        except Exception as error:  # decoders raise many kinds on broken bytes
            raise self.undecodable(id, error) from None

    def undecodable(self, id: int, error: Exception) -> UserError:
        """The one line for a sample that does not decode."""
        reason = " ".join(str(error).split())
        return UserError(f"{self._tar(id)}: sample {id} does not decode ({reason}); {rebuild(self.folder)}")

    def captions(self, id: int) -> list[str]:
        """The captions of a pair, normalised, at least one."""
        self._check(id)
        return self._captions[id].as_py()

    @cached_property
    def _captions(self) -> pa.ChunkedArray:
        # Read when first asked for: training reads tokens instead.
        return pq.read_table(self.folder / CAPTIONS, columns=["captions"])["captions"]

    def _span(self, id: int) -> Span:
        self._check(id)
        return Span(int(self.index.shard[id]), int(self.index.offset[id]), int(self.index.size[id]))

    def _tar(self, id: int) -> str:
        return self._tars.name(int(self.index.shard[id]))

    def _check(self, id: int) -> None:
        if not 0 <= id < len(self):
            raise IndexError(f"{self.folder}: sample {id}: expected an id from 0 to {len(self) - 1}")


def iter_captions(folder: Path, batch_size: int) -> Iterator[list[list[str]]]:
    """The captions of every pair, in batches of pairs, in the order of ids."""
    with pq.ParquetFile(folder / CAPTIONS) as file:
        for batch in file.iter_batches(batch_size, columns=["captions"]):
            yield batch.column(0).to_pylist()


def check_folder(folder: Path) -> Manifest:
    """The manifest of a folder whose index and sizes of shards agree with it. Reads no shard.

    Tars may be missing where $M3AE_SHARDS_URL says that they lie behind a network; else they are unpacked
    from `shards.tar.xz`, where that was brought in their place.
    """
    manifest = read_manifest(folder / MANIFEST)
    if remote_folder(folder) is None:
        unpack(folder, manifest)
    for shard in manifest.shards:
        found = find_size(folder, shard)
        if found is not None:
            raise UserError(
                f"{folder / shard.name}: expected {shard.bytes} bytes, {found}; {rebuild(folder)}"
            )
    index = folder / INDEX
    if not index.is_file() or sha256_of(index) != manifest.index_sha256:
        raise UserError(f"{index}: expected the index with the manifest's sha256; {rebuild(folder)}")
    return manifest


def find_size(folder: Path, shard: Shard) -> str | None:
    """What is found of a shard that has not the manifest's size; None if it has, or lies behind a network."""
    path = folder / shard.name
    if not path.is_file():
        return "found no such file" if remote_folder(folder) is None else None
    size = path.stat().st_size
    return None if size == shard.bytes else f"found {size}"


def rebuild(folder: Path) -> str:
    """What to do about broken shards."""
    return f"rebuild it: m3ae data verify {folder / MANIFEST} --repair"
