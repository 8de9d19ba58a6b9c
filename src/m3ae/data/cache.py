"""Whole tars of a network, kept on this machine up to a bound; shared by its processes.

``$M3AE_CACHE_DIR`` names the folder (none: no cache), ``$M3AE_CACHE_GB`` the bound (1e9 bytes).

The cache never evicts. An epoch is a true permutation, so what was just used says nothing of what comes next:
a sample comes back when about all others have passed by, and every tar is wanted all the time. Least recently
used samples would therefore never be hit; least recently used tars would be hit no more often than any fixed
set of as many, while each miss carried in thousands of samples for the sake of one. A fixed subset is hit at
the rate bound / size in every epoch, and without looking ahead no policy does better. So tars come in the
order of the manifest until the bound is reached, and stay; the rest is read by range. To make room for
another run, delete the folder.

One process at a time fills (a lock; another takes over if it dies), in a thread beside its reading. A tar is
compared with the manifest's checksum before it is seen under its name, its SHA-256.
"""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from fsspec.core import url_to_fs

from m3ae.data.manifest import Shard
from m3ae.errors import UserError
from m3ae.files import sha256_of

CACHE_DIR, CACHE_GB = "M3AE_CACHE_DIR", "M3AE_CACHE_GB"
LOCK, PARTIAL = ".lock", ".partial"


def cache_from_environment() -> "Cache | None":
    """The cache that the environment asks for, if any."""
    folder, bound = os.environ.get(CACHE_DIR), os.environ.get(CACHE_GB, "")
    if not folder:
        return None
    try:
        return Cache(Path(folder), int(float(bound) * 1e9))
    except (ValueError, OverflowError):
        raise UserError(
            f"${CACHE_GB}: expected the bound of the cache in ${CACHE_DIR} (GB), got {bound!r}; "
            f"set it, such as {CACHE_GB}=500"
        ) from None


class Cache:
    """A folder of tars, each under the name of its SHA-256."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._filled_by: int | None = None  # the process whose thread fills; a fork has none
        self._broken: UserError | None = None

    def find(self, shard: Shard) -> Path | None:
        """Where a tar lies, if it is here."""
        path = self._path(shard)
        return path if path.is_file() else None

    def fill_aside(self, url: str, shards: Sequence[Shard]) -> None:
        """Fill beside the reading, once in a process. Raises UserError if a tar has come broken."""
        if self._broken is not None:
            raise self._broken
        if self._filled_by != os.getpid():
            self._filled_by = os.getpid()
            threading.Thread(target=self._fill_or_say, args=(url, shards), daemon=True).start()

    def fill(self, url: str, shards: Sequence[Shard]) -> None:
        """Bring tars until the bound is reached. Waits while another process does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / LOCK).acquire(poll_interval=1):
            for leftover in self.folder.glob(f"*{PARTIAL}"):
                leftover.unlink()
            used = sum(path.stat().st_size for path in self.folder.glob("*.tar"))
            for shard in shards:
                if self.find(shard) is None and used + shard.bytes <= self.max_bytes:
                    self._bring(url, shard)
                    used += shard.bytes

    def _bring(self, url: str, shard: Shard) -> None:
        """Bring one tar; it is seen only when it is whole and right."""
        system, root = url_to_fs(url)
        far, partial = f"{root}/{shard.name}", self._path(shard).with_suffix(PARTIAL)
        size = system.size(far)
        if size != shard.bytes:
            raise differs(f"{url}/{shard.name}", f"{shard.bytes} bytes", str(size))
        try:
            system.get_file(far, str(partial))
            found = sha256_of(partial)
            if found != shard.sha256:
                raise differs(f"{url}/{shard.name}", f"sha256 {shard.sha256}", found)
            partial.replace(self._path(shard))
        finally:
            partial.unlink(missing_ok=True)

    def _fill_or_say(self, url: str, shards: Sequence[Shard]) -> None:
        try:
            self.fill(url, shards)
        except UserError as error:
            self._broken = error  # the next read raises it
        except Exception as error:  # full disks, networks: what is not kept is read by range
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"m3ae: {self.folder}: the cache takes no more ({reason})", file=sys.stderr, flush=True)

    def _path(self, shard: Shard) -> Path:
        return self.folder / f"{shard.sha256}.tar"


def differs(url: str, expected: str, found: str) -> UserError:
    """One line for a tar that is not the manifest's."""
    return UserError(f"{url}: expected {expected}, as in the manifest, found {found}; upload it again")
