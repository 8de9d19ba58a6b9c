"""SHA-256 of files, computed once for each state of a file: encoders and features may be gigabytes."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from m3ae.config.load import read_yaml
from m3ae.errors import UserError
from m3ae.files import sha256_of, write_text

CACHE = Path(".snakemake/m3ae/digests.json")


class Hashes:
    """Hashes by path, valid while size, inode and times stay as they were: that of change nobody can set."""

    def __init__(self, file: Path = CACHE) -> None:
        self.file, self.changed = file, False
        self.known: dict[str, list[Any]] = {}
        with suppress(OSError, ValueError):  # without it files are hashed again
            self.known = json.loads(file.read_bytes())

    def of(self, path: Path) -> str | None:
        """The SHA-256 of a file; None where there is none."""
        try:
            state = state_of(path)
        except FileNotFoundError:
            return None
        found = self.known.get(path.as_posix())
        if found is None or found[:-1] != state:
            try:
                found = [*state, digest_of(path)]
            except IsADirectoryError:
                raise UserError(f"{path}: expected a file, found a folder; move it away") from None
            self.note(path, found)
        return found[-1]

    def moved(self, path: Path, time_ns: int) -> None:
        """Set a file's time of modification; its bytes are as before."""
        sha256 = self.of(path)
        try:
            os.utime(path, ns=(time_ns, time_ns))
        except PermissionError:
            raise UserError(
                f"{path}: belongs to somebody else, and is older than what it was made from, so it would be "
                "made again; make a copy of your own"
            ) from None
        self.note(path, [*state_of(path), sha256])

    def note(self, path: Path, found: list[Any]) -> None:
        """Remember a state and its hash."""
        self.known[path.as_posix()], self.changed = found, True

    def save(self) -> None:
        """Write what is new."""
        if self.changed:
            write_text(self.file, json.dumps(self.known))
            self.changed = False


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's bytes. Of settings (YAML): of what they say, in whatever words and order."""
    if path.suffix != ".yaml":
        return sha256_of(path)
    return hashlib.sha256(json.dumps(read_yaml(path), sort_keys=True).encode()).hexdigest()


def state_of(path: Path) -> list[int]:
    """What changes when a file does: size in bytes, times of modification and change, inode."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
