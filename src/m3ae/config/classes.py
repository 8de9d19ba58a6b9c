"""Class lists that several evaluation sets share: ``config/classes/*.csv``."""

import csv
from pathlib import Path

from m3ae.config.base import Settings
from m3ae.errors import UserError

FOLDER = Path("config/classes")


class Classes(Settings):
    """The classes of a label, by reference to a shared list."""

    of: str
    """Name of the list: `config/classes/<of>.csv`, columns `index`, `wnid`, `name`, one per subset."""
    subset: str | None = None
    """Column with the subset's own labels, 0, 1, ...; rows without one are not in it. None: all."""


class ClassList(Settings):
    """Classes in the order of their labels."""

    names: list[str]
    """Words for people, unique."""
    wnids: list[str]
    """WordNet ids (`n01440764`), by which folders are named."""
    parent_indices: list[int]
    """Label of the class in the whole list: where a subset's classes stand among the 1,000."""


def read_classes(classes: Classes) -> ClassList:
    """The classes of a shared list, or of a subset of it, in the order of their labels."""
    path = FOLDER / f"{classes.of}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path}: no such list of classes; is this the project folder?") from None
    column = classes.subset or "index"
    if not rows or column not in rows[0]:
        known = ", ".join(rows[0]) if rows else "no row"
        raise UserError(f"{path}: expected a column {column!r}, found {known}; mend the registry's entry")
    members = sorted((row for row in rows if row[column]), key=lambda row: int(row[column]))
    if [int(row[column]) for row in members] != list(range(len(members))):
        raise UserError(f"{path}: column {column!r}: expected each of 0, 1, 2, ... once; restore the file")
    return ClassList(
        names=[row["name"] for row in members],
        wnids=[row["wnid"] for row in members],
        parent_indices=[int(row["index"]) for row in members],
    )
