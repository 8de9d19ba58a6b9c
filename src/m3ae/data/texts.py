"""Text without images: lines of plain text or of the authors' HDF5 `text`, one document after the other."""

import glob
import os
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3ae.config.paths import data_root
from m3ae.errors import UserError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
LINE_BYTES = 1 << 16  # a longer line is read in parts, so that no file has to fit into memory
HDF5_ROWS = 64
HEADING_CHARS = 200
# As in WikiText: ` = Title = `, ` = = Section = = `; MediaWiki's own `== Section ==` too.
HEADING = re.compile(r"(?P<marks>=(?: ?=){0,5}) ?[^= ].* ?(?P=marks)")


class Begins(IntEnum):
    """What begins with a line."""

    LINE = 0
    PARAGRAPH = 1
    DOCUMENT = 2


class Line(NamedTuple):
    """A line that is not blank."""

    text: str
    begins: Begins
    is_heading: bool


def text_files(pattern: str) -> list[Path]:
    """The files of a pattern below the data root (or absolute), sorted. Raises UserError if there is none."""
    path = os.path.join(data_root(), pattern)
    found = sorted(Path(name) for name in glob.glob(path, recursive=True) if os.path.isfile(name))
    if not found:
        raise UserError(
            f"data.texts.files: expected files of text at {path}, found none; "
            "put them there, or set M3AE_DATA_ROOT to the folder of original data"
        )
    return found


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank. Raises UserError for what is neither UTF-8 nor HDF5."""
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    if is_hdf5:
        for text in hdf5_texts(path):
            yield from marked(text.split("\n"))
    else:
        yield from marked(plain_lines(path))


def marked(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of a text with what begins at each.

    A blank line begins a paragraph. A heading comes after one (a formula like `= 2 =` does not); of the first
    level (`= Title =`), it begins a document.
    """
    begins = Begins.DOCUMENT
    for text in lines:
        if not text.strip():
            begins = max(begins, Begins.PARAGRAPH)
            continue
        level = heading_level(text) if begins > Begins.LINE else 0
        if level == 1:
            begins = Begins.DOCUMENT
        yield Line(text, begins, level > 0)
        begins = Begins.LINE


def heading_level(line: str) -> int:
    """The level of a heading; 0 for any other line."""
    match = HEADING.fullmatch(line.strip()) if len(line) <= HEADING_CHARS else None
    return match["marks"].count("=") if match else 0


def plain_lines(path: Path) -> Iterator[str]:
    """Lines of plain text; parts of a line that is longer than ``LINE_BYTES``, between words if it can be."""
    rest = b""
    with path.open("rb") as file:
        while data := rest + file.readline(LINE_BYTES):
            rest = b""
            if len(data) >= LINE_BYTES and not data.endswith(b"\n"):
                data, rest = split_line(data)
            try:
                yield data.decode("utf-8").lstrip("\ufeff")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}: expected UTF-8 text or HDF5, got byte 0x{data[error.start]:02x} at position "
                    f"{file.tell() - len(rest) - len(data) + error.start}; convert the file to UTF-8"
                ) from None


def split_line(data: bytes) -> tuple[bytes, bytes]:
    """The head of a long line, and what is left: cut after the last space, else before a character."""
    end = data.rfind(b" ") + 1
    if not end:
        end = len(data) - 1
        while end > len(data) - 4 and data[end] & 0xC0 == 0x80:  # inside a character of UTF-8
            end -= 1
    return data[:end], data[end:]


def hdf5_texts(path: Path) -> Iterator[str]:
    """The rows of the authors' HDF5 layout for text: a one-dimensional `text` of UTF-8."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(
            f"{path}: expected UTF-8 text or HDF5, got a broken HDF5 file ({' '.join(str(error).split())}); "
            "bring it again"
        ) from None
    with file:
        rows = file.get("text")
        if not isinstance(rows, h5py.Dataset) or rows.ndim != 1:
            raise UserError(
                f"{path}: expected a one-dimensional data set `text`, found {', '.join(file) or 'nothing'}; "
                "name another file in data.texts.files"
            )
        for start in range(0, len(rows), HDF5_ROWS):
            for number, row in enumerate(rows[start : start + HDF5_ROWS], start):
                yield decode_row(row, path, number)


def decode_row(row: object, path: Path, number: int) -> str:
    """A row as text: bytes, an array of bytes, or text already."""
    if isinstance(row, str):
        return row
    if isinstance(row, np.ndarray) and row.dtype == np.uint8:
        row = row.tobytes()
    found: object = type(row).__name__
    if isinstance(row, bytes):
        try:
            return row.decode("utf-8")
        except UnicodeDecodeError as error:
            found = f"byte 0x{row[error.start]:02x}"
    raise UserError(f"{path}: text: row {number}: expected UTF-8, got {found}; mend the file")
