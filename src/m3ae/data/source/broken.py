"""Rows of a list from the web that are no rows: few are left out, counted and listed; many are an error."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from m3ae.errors import UserError
from m3ae.files import write_text

MAX_SHARE = 0.01
"""A list with a larger share of broken rows is not what it seems to be."""


class BrokenRow(NamedTuple):
    """A row that is no pair."""

    number: int
    """Of its line, from 1."""
    detail: str
    """What was expected, and what came."""


class BrokenRows:
    """Collects the broken rows of a list. Raises UserError when more than `MAX_SHARE` of its lines are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[BrokenRow] = []
        self._num_lines: int | None = None

    def add(self, number: int, detail: str) -> None:
        """Note one row."""
        self.rows.append(BrokenRow(number, detail))
        if self._num_lines is None:
            self._num_lines = count_lines(self.path)
        if len(self.rows) > MAX_SHARE * self._num_lines:
            first = self.rows[0]
            raise UserError(
                f"{self.path}: line {first.number}: {first.detail}; {len(self.rows)} or more of "
                f"{self._num_lines} lines are broken, at most {MAX_SHARE:.0%} are left out; "
                "mend or remove them"
            )

    def write_beside(self, list_path: Path) -> None:
        """List the rows beside the list that was made without them; no file where there are none."""
        path = broken_beside(list_path)
        if self.rows:
            write_text(path, "".join(f"{row.number}\t{row.detail}\n" for row in self.rows))
        else:
            path.unlink(missing_ok=True)


def broken_beside(list_path: Path) -> Path:
    """Where the broken rows of a list are listed: ``train-broken.tsv``."""
    return list_path.with_name(f"{list_path.stem}-broken.tsv")


def read_broken(list_path: Path) -> Iterator[BrokenRow]:
    """The rows that were left out of a list; none where nothing is listed."""
    path = broken_beside(list_path)
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            number, _, detail = line.rstrip("\n").partition("\t")
            yield BrokenRow(int(number), detail)


def count_lines(path: Path) -> int:
    """Number of lines, without looking into them."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
