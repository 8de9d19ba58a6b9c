"""Clean shards whose tars lie behind a network: s3://, gs://, hf:// and whatever else fsspec knows.

Manifest, index and tokens are on the machine; the tars lie at ``$M3AE_SHARDS_URL/{run}/shards/{split}/``.
Samples are read by range, those of a whole batch in one request, so that the way to the server and back is
paid once for a batch. Credentials are fsspec's business (its environment variables and configuration).
"""

import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import fsspec
from fsspec.core import url_to_fs

from m3ae.data.cache import Cache, cache_from_environment
from m3ae.data.manifest import Shard
from m3ae.errors import UserError

SHARDS_URL = "M3AE_SHARDS_URL"
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""Pauses before a request is made again (seconds), each up to half longer by chance."""
THREADS = 16
"""Requests at a time where fsspec's file system cannot do it itself (hf://)."""


class Span(NamedTuple):
    """Some bytes of a tar."""

    shard: int
    offset: int
    size: int


def remote_folder(folder: Path) -> str | None:
    """The address of data/{run}/shards/{split} where tars may lie behind a network; None if nowhere."""
    base = os.environ.get(SHARDS_URL)
    return "/".join([base.rstrip("/"), *folder.absolute().parts[-3:]]) if base else None


class RemoteTars:
    """The tars of a folder behind a URL, some of them in the cache of this machine."""

    def __init__(self, url: str, shards: Sequence[Shard]) -> None:
        self.url, self.shards = url, shards
        self._cache: Cache | None = cache_from_environment()

    def cached(self, shard: int) -> Path | None:
        """Where this machine keeps a tar; None if it does not."""
        return None if self._cache is None else self._cache.find(self.shards[shard])

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span. Raises UserError when the server refuses, or fails again and again."""
        found: dict[int, bytes] = {}
        for pause in (*PAUSES_S, None):
            left = [number for number in range(len(spans)) if number not in found]
            answers = self._ask([spans[number] for number in left])
            found |= {n: answer for n, answer in zip(left, answers, strict=True) if isinstance(answer, bytes)}
            errors = [answer for answer in answers if not isinstance(answer, bytes)]
            if not errors:
                break
            if pause is None or isinstance(errors[0], FileNotFoundError | PermissionError):
                failed = next(number for number in left if number not in found)
                raise unreachable(f"{self.url}/{self.shards[spans[failed].shard].name}", errors[0])
            time.sleep(pause * (1 + random.random() / 2))
        if self._cache is not None:
            self._cache.fill_aside(self.url, self.shards)
        return [found[number] for number in range(len(spans))]

    def _ask(self, spans: Sequence[Span]) -> list[bytes | Exception]:
        """Bytes or error of each span."""
        with one_line(self.url):
            system, root = url_to_fs(self.url)
        paths = [f"{root}/{self.shards[span.shard].name}" for span in spans]
        starts = [span.offset for span in spans]
        ends = [span.offset + span.size for span in spans]
        try:
            return cat_ranges(system, paths, starts, ends)
        except Exception as error:  # a connection that fails before any span is asked for
            return [error] * len(spans)


def cat_ranges(
    system: fsspec.AbstractFileSystem, paths: list[str], starts: list[int], ends: list[int]
) -> list[bytes | Exception]:
    """Many ranges at a time: fsspec's own way where there is one, else with threads."""
    if system.async_impl:
        return system.cat_ranges(paths, starts, ends, on_error="return")

    def one(path: str, start: int, end: int) -> bytes | Exception:
        try:
            return system.cat_file(path, start, end)
        except Exception as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, paths, starts, ends))


@contextmanager
def one_line(url: str) -> Iterator[None]:
    """Name the package that a URL needs, or that there is no such kind of URL, in one line."""
    try:
        yield
    except ImportError as error:
        raise UserError(f"{url}: {error}; it is not part of this project: pip install it") from None
    except ValueError as error:
        raise UserError(f"{url}: not an address that fsspec knows ({error}); correct ${SHARDS_URL}") from None


def unreachable(url: str, error: Exception) -> UserError:
    """One line for a tar that does not come."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(
        f"{url}: cannot be read ({reason}); check ${SHARDS_URL}, the network and your credentials"
    )
