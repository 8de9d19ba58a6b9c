"""Files and folders that are either whole or absent: write aside, then rename."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from m3ae.errors import UserError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary neighbour of ``path``; rename it to ``path`` if the block succeeds.

    After a failure (an exception, a kill, a full disk) the old file is untouched.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); "
            "choose a folder that exists and is writable, then run the command again"
        ) from None
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); nothing was replaced") from None
    finally:
        Path(temporary).unlink(missing_ok=True)


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


def put_back(old: Path, folder: Path) -> None:
    """Make ``old`` the ``folder`` again if that is gone; else remove it."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
