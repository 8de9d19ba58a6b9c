"""Random access to the tars of a folder of clean shards: on this machine, or behind a network."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from m3ae.data.manifest import Shard
from m3ae.data.remote import RemoteTars, Span, remote_folder
from m3ae.errors import UserError

MAX_OPEN = 256  # tars; a process may often open no more than 1,024 files


class Tars:
    """The tars of a folder; those that are not in it lie behind the URL that the environment names."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self.folder, self.shards = folder, shards
        url = remote_folder(folder)
        self._is_here = [url is None or (folder / shard.name).is_file() for shard in shards]
        self._remote = None if url is None or all(self._is_here) else RemoteTars(url, shards)
        self._open = lru_cache(MAX_OPEN)(OpenFile)

    def name(self, shard: int) -> str:
        """What errors call a tar: its path or its address."""
        name = self.shards[shard].name
        if self._remote is None or self._is_here[shard]:
            return str(self.folder / name)
        return f"{self._remote.url}/{name}"

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span, fewer where a tar ends before; what is far away comes in one request."""
        paths = [self._path(span.shard) for span in spans]
        far = [span for span, path in zip(spans, paths, strict=True) if path is None]
        fetched = iter(self._remote.read(far) if self._remote is not None and far else [])
        return [
            next(fetched) if path is None else self._open_file(path).read(span.size, span.offset)
            for span, path in zip(spans, paths, strict=True)
        ]

    def _path(self, shard: int) -> Path | None:
        """Where a tar lies on this machine, in its folder or in the cache; None if it is far away."""
        if self._remote is None or self._is_here[shard]:
            return self.folder / self.shards[shard].name
        return self._remote.cached(shard)

    def _open_file(self, path: Path) -> "OpenFile":
        try:
            return self._open(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); put it back") from None


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
