"""Tables of images and captions: CSV, TSV or JSON lines, as usual tools write them."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from m3ae.data.source.broken import BrokenRow, BrokenRows
from m3ae.data.source.files import HALF
from m3ae.data.source.lists import BYTE_ORDER_MARK, excerpt
from m3ae.errors import UserError

IMAGE_COLUMNS = ("image", "file", "file_name", "filename", "path", "image_path", "filepath")
CAPTION_COLUMNS = ("caption", "text", "captions", "title", "sentence")

UNDECODED = re.compile("[\udc80-\udcff]")  # a byte that is no UTF-8, as Python's surrogateescape keeps it

Found = tuple[int, str, list[str]] | BrokenRow


class Table(NamedTuple):
    """A table, by image."""

    captions: dict[str, list[str]]
    """Captions of each image, both in first-seen order."""
    broken: list[BrokenRow]


class Columns(NamedTuple):
    """The names of the two columns that count."""

    image: str
    caption: str


def read_table(path: Path) -> Table:
    """Read a table; a row per caption, or (JSON lines) a list of captions per row.

    CSV is quoted as RFC 4180 says; TSV, as lists are, not at all. Raises UserError, one line, for another
    suffix, for columns of other names, and where more than a few rows are broken.
    """
    readers = {".csv": read_csv, ".tsv": read_tsv, ".jsonl": read_jsonl, ".ndjson": read_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: expected a table {', '.join(readers)}, got {path.suffix or 'no suffix'}")
    captions: dict[str, list[str]] = {}
    broken = BrokenRows(path)
    for found in reader(path):
        if isinstance(found, BrokenRow):
            broken.add(*found)
        elif (problem := problem_of(found[1], found[2])) is not None:
            broken.add(found[0], problem)
        else:
            captions.setdefault(str(PurePosixPath(found[1])), []).extend(found[2])
    if not captions:
        raise UserError(f"{path}: expected rows below the header, got none; make the table again")
    return Table(captions, broken.rows)


def problem_of(image: str, captions: list[str]) -> str | None:
    """Why a row cannot be used, whatever its form."""
    if not image.strip():
        return "expected the name of an image, got an empty one"
    for text in (image, *captions):
        if (odd := UNDECODED.search(text)) is not None:
            return f"expected UTF-8 text, got byte 0x{ord(odd[0]) - 0xDC00:02x}"
    return f"expected a name that is text, got {excerpt(image)}" if HALF.search(image) else None


def find_columns(path: Path, names: Sequence[str]) -> Columns:
    """The columns of image and caption. Raises UserError, which names those that are there."""
    by_name = {name.strip().lower(): name for name in reversed(names)}
    image = next((by_name[name] for name in IMAGE_COLUMNS if name in by_name), None)
    caption = next((by_name[name] for name in CAPTION_COLUMNS if name in by_name), None)
    if image is None or caption is None:
        raise UserError(
            f"{path}: expected a column {' | '.join(IMAGE_COLUMNS)} and a column "
            f"{' | '.join(CAPTION_COLUMNS)}, got {excerpt(list(names))}; rename them in the header"
        )
    return Columns(image, caption)


def text_lines(path: Path) -> Iterator[str]:
    """The lines, ended by newlines alone: a caption may hold any other separator."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            text = line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line
            yield text.decode("utf-8", "surrogateescape")


def read_csv(path: Path) -> Iterator[Found]:
    """The rows of a CSV; quoted fields may hold commas, quotes and line ends.

    A quote at the wrong place takes the lines up to the next one with it: each is a broken row.
    """
    reader = csv.reader(text_lines(path), strict=True)
    header = next(reader, [])
    columns = find_columns(path, header)
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            for number in range(first, reader.line_num + 1):
                yield BrokenRow(number, f"expected CSV, got {error} in the row from line {first}")
            continue
        if fields is None:
            return
        if fields:
            yield row_of(header, columns, fields, first)


def read_tsv(path: Path) -> Iterator[Found]:
    """The rows of a TSV: tabs part the fields, newlines the rows, quotes are text."""
    rows = (line.rstrip("\r\n").split("\t") for line in text_lines(path))
    header = next(rows, [])
    columns = find_columns(path, header)
    for number, fields in enumerate(rows, 2):
        if fields != [""]:
            yield row_of(header, columns, fields, number)


def row_of(header: list[str], columns: Columns, fields: list[str], number: int) -> Found:
    """One row by the header's names."""
    if len(fields) != len(header):
        detail = f"expected {len(header)} fields as in the header, got {len(fields)}: {excerpt(fields)}"
        return BrokenRow(number, detail)
    named = dict(zip(header, fields, strict=True))
    return number, named[columns.image], [named[columns.caption]]


def read_jsonl(path: Path) -> Iterator[Found]:
    """The rows of JSON lines; a caption may be a list of captions."""
    columns: Columns | None = None
    for number, line in enumerate(text_lines(path), 1):
        if line.strip():
            row = json_object(line)
            if isinstance(row, dict) and columns is None:
                columns = find_columns(path, list(row))
            yield json_row(row, columns, number)


def json_object(line: str) -> object:
    """What a line holds; None where that is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def json_row(row: object, columns: Columns | None, number: int) -> Found:
    """One row by the names of the first."""
    if not isinstance(row, dict) or columns is None:
        return BrokenRow(number, f"expected a JSON object, got {excerpt(row)}")
    image, caption = row.get(columns.image), row.get(columns.caption)
    captions = caption if isinstance(caption, list) else [caption]
    texts = [text for text in captions if isinstance(text, str)]
    if not isinstance(image, str) or len(texts) < len(captions):
        detail = f"expected texts for {columns.image} and {columns.caption}, got {excerpt([image, caption])}"
        return BrokenRow(number, detail)
    return number, image, texts
