"""The list of a source that is no list of URLs: the files that a split is read from, with their sizes."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from m3ae.errors import UserError
from m3ae.files import atomic_write

ODD = re.compile(r"[\x00-\x1f\x7f%\udc80-\udcff]+")
"""What would break a line, is no UTF-8, or stands for an escape."""
HALF = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can write; among them is a byte that is no text, as Python keeps it."""


class SourceFile(NamedTuple):
    """A file of the source."""

    location: str
    """Path, or address behind a protocol."""
    bytes: int


def escape(name: str) -> str:
    """A file name on one line of UTF-8: control characters, bytes that are no text, and % as %XX."""
    return ODD.sub(lambda odd: "".join(f"%{byte:02X}" for byte in os.fsencode(odd[0])), name)


def unescape(text: str) -> str:
    """The file name that `escape` took."""
    return os.fsdecode(unquote_to_bytes(text))


def as_utf8(text: str) -> str:
    """Text that UTF-8 can hold: bytes that are no text, and halves of a character, as %XX; the rest stays."""
    return HALF.sub(lambda odd: "".join(f"%{byte:02X}" for byte in bytes_of(odd[0])), text)


def bytes_of(half: str) -> bytes:
    """The byte that a half of a character stands for, or else the three that UTF-8 would give it."""
    return half.encode("utf-8", "surrogateescape" if "\udc80" <= half <= "\udcff" else "surrogatepass")


def write_files(path: Path, files: Iterable[SourceFile]) -> None:
    """Write lines ``file<TAB>bytes``, atomically."""
    with atomic_write(path, "w") as file:
        for location, size in files:
            file.write(f"{escape(location)}\t{size}\n")


def read_files(path: Path) -> Iterator[SourceFile]:
    """Read lines ``file<TAB>bytes``. Raises UserError, one line, where there are others or none."""
    again = "run m3ae data source again"
    if not path.is_file():
        raise UserError(f"{path}: expected a list `file<TAB>bytes`, found nothing; {again}")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            name, _, size = line.decode("utf-8", "replace").rstrip("\n").rpartition("\t")
            if not name or not size.isdecimal():
                raise UserError(
                    f"{path}: line {number}: expected `file<TAB>bytes`, got {line[:60]!r}; {again}"
                )
            yield SourceFile(unescape(name), int(size))


def file_here(path: Path) -> SourceFile:
    """A file of this machine, with its size."""
    return SourceFile(str(path), path.stat().st_size)


def existing_file(path: Path, setting: str) -> Path:
    """``path``, if it is a file; else UserError naming the setting that asks for it."""
    if not path.is_file():
        raise UserError(
            f"{setting}: expected a file at {path}, found {'a folder' if path.is_dir() else 'nothing'}; "
            "put it there, or mend the path (below M3AE_DATA_ROOT unless absolute)"
        )
    return path
