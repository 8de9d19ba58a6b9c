"""Files and folders that are either whole or absent: write aside, then rename."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from m3ae.errors import UserError

os.umask(UMASK := os.umask(0o077))  # what this process withholds from others: only setting it tells


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary neighbour of ``path``, an empty file; it becomes ``path`` if the block succeeds.

    After a failure (an exception, a kill, a full disk) the old file is untouched.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = locked_neighbour(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); "
            "choose a folder that exists and is writable, then run the command again"
        ) from None
    try:
        yield Path(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~UMASK)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); nothing was replaced") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
        os.close(handle)


def locked_neighbour(path: Path) -> tuple[int, str]:
    """An empty file beside ``path``, held until its handle is closed or its process ends."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with suppress(OSError, ImportError):  # without locks `remove_abandoned` leaves everything there
            import fcntl  # not on Windows, where encoders are loaded too

            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # taken for abandoned before it was locked


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove unfinished neighbours of this pattern whose processes were killed; those of living ones stay."""
    for path in folder.glob(pattern):
        with suppress(OSError, ImportError), open(path, "rb") as file:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary neighbour of ``path``; it becomes ``path`` if the block succeeds."""
    encoding = None if "b" in mode else "utf-8"
    with atomic_path(path) as temporary, open(temporary, mode, encoding=encoding) as file:
        yield file


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with atomic_write(path, "w") as file:
        file.write(text)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary neighbour that replaces ``folder`` if the block succeeds; else ``folder`` stays."""
    partial, old = (folder.with_name(f".{folder.name}.{word}") for word in ("partial", "old"))
    try:
        put_back(old, folder)  # an earlier call was killed between the two renames
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error}); the earlier content is kept") from None
    finally:
        put_back(old, folder)
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(folder: Path, ours: Collection[str]) -> None:
    """Raise UserError unless ``folder`` is absent, or holds nothing but files of these names."""
    if folder.is_file():
        raise UserError(f"{folder}: expected a folder to write, found a file; choose another name")
    others = (
        sorted(path.name for path in folder.iterdir() if path.name not in ours) if folder.is_dir() else []
    )
    if others:
        raise UserError(
            f"{folder}: holds {others[0]}, which no earlier call wrote and which would be lost; "
            "choose another folder"
        )


def put_back(old: Path, folder: Path) -> None:
    """Make ``old`` the ``folder`` again if that is gone; else remove it."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
