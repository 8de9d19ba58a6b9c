"""Files behind a protocol: http(s) through the standard library, hf, s3, gs and others through fsspec."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from m3ae.data.source.files import SourceFile
from m3ae.errors import UserError
from m3ae.files import atomic_write

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20
RETRIES = 5
RETRY_S = 1.0
"""Wait before the first retry (seconds); doubled for each that follows."""
HEAD_THREADS = 16
ADVICE = "check the address and the network, or bring the file here and name its path"


class Opened(NamedTuple):
    """A file that is being read."""

    stream: IO[bytes]
    total: int | None
    """Bytes of the whole file, where that is said."""
    tag: str
    """Changes when the file does; empty where nothing is said."""


def is_http(location: str) -> bool:
    """Whether this is an address of the web."""
    return location.lower().startswith(("http://", "https://"))


def fetch_file(location: str, path: Path, size: int | None = None, bar: tqdm | None = None) -> None:
    """Copy a file to ``path``, atomically; goes on where a connection broke off.

    Raises UserError, one line, where that fails, or where there are not ``size`` bytes.
    """
    with atomic_write(path) as file:
        for chunk in read_chunks(location, size):
            file.write(chunk)
            if bar is not None:
                bar.update(len(chunk))


def read_chunks(location: str, size: int | None) -> Iterator[bytes]:
    """The bytes of a file; after a broken connection, from the next byte on."""
    offset, failures, tag, reason = 0, 0, None, ""
    while failures <= RETRIES:
        if failures:
            time.sleep(RETRY_S * 2 ** (failures - 1))
        try:
            with opened(location, offset) as (stream, total, now):
                size = total if size is None else size
                tag = now if tag is None else tag
                if now != tag or total not in (None, size):
                    raise UserError(f"{location}: changed while it was fetched; run again")
                while chunk := stream.read(CHUNK_BYTES):
                    offset, failures = offset + len(chunk), 0
                    yield chunk
        except UserError:
            raise
        except Exception as error:  # each protocol has its own
            reason = in_a_line(error)
            if is_final(error):
                break
        else:
            if size is None or offset == size:
                return
            reason = f"expected {size} bytes, got {offset}"
        failures += 1
    raise UserError(f"{location}: cannot be fetched ({reason}); {ADVICE}")


def in_a_line(error: Exception) -> str:
    """A protocol's error, which may be of many lines, as one."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def is_final(error: Exception) -> bool:
    """Whether asking again would give the same: not there, not allowed, no such protocol."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code != 429
    return isinstance(error, FileNotFoundError | PermissionError | ImportError | ValueError)


@contextmanager
def opened(location: str, offset: int = 0) -> Iterator[Opened]:
    """A file from byte ``offset`` on."""
    if is_http(location):
        request = urllib.request.Request(location, headers={"Range": f"bytes={offset}-"} if offset else {})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            skipped = offset if response.status == 206 else 0
            total = None if response.length is None else response.length + skipped
            skip(response, offset - skipped)  # a server that knows no ranges begins again
            yield Opened(response, total, response.headers.get("ETag") or "")
        return
    import fsspec

    system, path = fsspec.url_to_fs(location)
    info = system.info(path)
    with system.open(path, "rb") as stream:
        stream.seek(offset)
        yield Opened(stream, info["size"], str(info.get("ETag") or ""))


def skip(stream: IO[bytes], count: int) -> None:
    """Read ``count`` bytes away."""
    while count and (chunk := stream.read(min(count, CHUNK_BYTES))):
        count -= len(chunk)


def find_remote(location: str, suffix: str) -> list[SourceFile]:
    """The files that an address, a pattern, or a folder behind a protocol stands for, with their sizes."""
    try:
        if is_http(location):
            return http_files(location)
        import fsspec

        system, path = fsspec.url_to_fs(location)
        is_folder = "*" not in path and system.isdir(path)
        pattern = f"{path.rstrip('/')}/*{suffix}" if is_folder else path
        found = system.glob(pattern, detail=True)
        return [
            SourceFile(system.unstrip_protocol(name), info["size"])
            for name, info in found.items()
            if info["type"] == "file"
        ]
    except UserError:
        raise
    except Exception as error:  # each protocol has its own
        raise UserError(f"{location}: cannot be listed ({in_a_line(error)}); {ADVICE}") from None


def http_files(pattern: str) -> list[SourceFile]:
    """The files of a pattern with braces, such as ``http://host/{00000..00099}.tar``."""
    from braceexpand import braceexpand

    if "*" in pattern:
        raise UserError(f"{pattern}: the web cannot be searched for *; write {{00000..00099}}.tar instead")
    with ThreadPoolExecutor(HEAD_THREADS) as pool:
        return list(pool.map(http_file, braceexpand(pattern)))


def http_file(url: str) -> SourceFile:
    """One file of the web, with the size that its server states."""
    request = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        length = response.headers.get("Content-Length")
    if length is None:
        raise UserError(f"{url}: expected its size (Content-Length) from the server, got none; {ADVICE}")
    return SourceFile(url, int(length))
