"""Lists of pairs, one ``url<TAB>caption`` per line, as CC12M is published."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from m3ae.errors import UserError
from m3ae.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

HTTP = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One line of a list."""

    url: str
    caption: str


def read_list(path: Path) -> "pd.DataFrame":
    """Read a list: columns `url` and `captions` (list of str), a row per URL in first-seen order.

    Raises UserError for a missing or empty list, and for a broken line (see `read_rows`).
    """
    import pandas as pd

    captions: dict[str, list[str]] = {}
    for row in read_rows(path):
        captions.setdefault(row.url, []).append(row.caption)
    if not captions:
        raise UserError(f"{path}: expected lines `url<TAB>caption`, got an empty file; make the list again")
    return pd.DataFrame({"url": list(captions), "captions": list(captions.values())})


def read_rows(path: Path) -> Iterator[Row]:
    """The lines of a list, one by one. Tolerates a byte order mark and Windows line ends.

    Raises UserError with the line's number unless it is UTF-8, has two fields, an http(s) URL and a caption.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: expected a list `url<TAB>caption`, found nothing; make it: m3ae data source --run RUN"
        )
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            yield parse_row(line.rstrip(b"\r\n"), path, number)


def parse_row(line: bytes, path: Path, number: int) -> Row:
    """Check one line; its number is for the error."""
    try:
        fields = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise broken(path, number, "UTF-8 text", f"byte 0x{line[error.start]:02x}") from None
    if len(fields) != 2:
        raise broken(path, number, "two fields, `url<TAB>caption`", f"{len(fields)}: {excerpt(fields)}")
    url, caption = fields
    if not HTTP.match(url):
        raise broken(path, number, "a URL with http:// or https://", excerpt(url))
    if not caption.strip():
        raise broken(path, number, "a caption after the tab", excerpt(caption))
    return Row(url, caption)


def broken(path: Path, number: int, expected: str, got: str) -> UserError:
    """The error of a broken line."""
    return UserError(f"{path}: line {number}: expected {expected}, got {got}; mend or remove the line")


def excerpt(value: object) -> str:
    """What came, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def write_list(path: Path, rows: Iterable[Row]) -> None:
    """Write a list atomically."""
    with atomic_write(path, "w") as file:
        for row in rows:
            file.write(f"{row.url}\t{row.caption}\n")


def count_rows(path: Path) -> int:
    """Number of lines, without looking into them."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
