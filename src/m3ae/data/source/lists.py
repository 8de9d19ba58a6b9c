"""Lists of pairs, one ``url<TAB>caption`` per line, as CC12M is published."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from m3ae.errors import UserError
from m3ae.files import atomic_write

HTTP = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One line of a list."""

    url: str
    caption: str


def read_rows(path: Path, on_broken: Callable[[int, str], object] | None = None) -> Iterator[Row]:
    """The lines of a list, one by one. Tolerates a byte order mark and Windows line ends.

    Rows end at \n and fields at \\t alone: captions of the web hold every other separator. An empty
    caption is a caption: cleaning judges it. A row is broken unless it is UTF-8 and has two fields, the
    first an http(s) URL: ``on_broken`` gets its number and what is wrong; without it, raises UserError.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: expected a list `url<TAB>caption`, found nothing; make it: m3ae data source --run RUN"
        )
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            row = parse_row(line.rstrip(b"\r\n"))
            if isinstance(row, Row):
                yield row
            elif on_broken is None:
                raise UserError(f"{path}: line {number}: {row}; mend or remove the line")
            else:
                on_broken(number, row)


def parse_row(line: bytes) -> Row | str:
    """One row, or what is wrong with it."""
    try:
        url, caption = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        return f"expected UTF-8 text, got byte 0x{line[error.start]:02x}"
    except ValueError:
        fields = line.decode("utf-8").split("\t")
        return f"expected two fields, `url<TAB>caption`, got {len(fields)}: {excerpt(fields)}"
    url = url.strip(" ")
    if not HTTP.match(url):
        return f"expected a URL with http:// or https://, got {excerpt(url)}"
    return Row(url, caption)


def excerpt(value: object) -> str:
    """What came, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def write_list(path: Path, rows: Iterable[Row]) -> None:
    """Write a list atomically."""
    with atomic_write(path, "w") as file:
        for row in rows:
            file.write(line_of(row))


def line_of(row: Row) -> str:
    """A row as its line."""
    return f"{row.url}\t{row.caption}\n"
