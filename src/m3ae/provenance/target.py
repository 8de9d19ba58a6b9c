"""What a user points at, as records or as files of the chain."""

import re
from pathlib import Path
from typing import NamedTuple

from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.provenance.cells import REPORTS, rows_of
from m3ae.provenance.chain import Chain

DIGITS = re.compile(r"[0-9a-f]{8,64}")


class Target(NamedTuple):
    """Where a trace begins."""

    name: str
    records: list[Path]
    sha256: list[str]
    """Files, by their hash."""


def find_target(chain: Chain, asked: str) -> Target:
    """The record, the file (by place, by bytes, by hash) or the table that ``asked`` names.

    Raises UserError, one line, where no record knows it.
    """
    path = inside(Path(asked))
    if path in chain.records:
        return Target(path.as_posix(), [path], [])
    if path.parts[:1] == REPORTS.parts:
        return of_table(chain, path)
    if path.name == "steps.jsonl" and path.with_name("pretrain.json") in chain.records:
        return Target(path.as_posix(), [path.with_name("pretrain.json")], [])
    known = list(chain.users.keys() | chain.makers.keys())
    if path.is_file() and (found := sha256_of(path)) in known:
        return Target(path.as_posix(), [], [found])
    if not path.is_file() and DIGITS.fullmatch(asked):
        return of_hash(known, asked)
    if placed := [sha256 for sha256, files in chain.files.items() if path in files]:
        if not path.is_file():
            return Target(path.as_posix(), [], placed)
        stated, found = placed[0][:12], sha256_of(path)[:12]
        raise UserError(
            f"{path}: expected the bytes that its records name ({stated}), got {found}; "
            f"pull or make it again, or trace the file that was: m3ae trace {stated}"
        )
    raise UserError(
        f"{asked}: no record of this project knows it; expected a record (results/RUN/MODEL/*.json), a file "
        "that one was made from or made, a table (reports/RUN/*.csv), or a SHA-256 (8 digits or more)"
    )


def inside(path: Path) -> Path:
    """The path relative to the project folder, the current one, where it lies in it."""
    here = Path.cwd()
    absolute = Path(here, path).resolve()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else path


def of_hash(known: list[str], digits: str) -> Target:
    """The one file whose hash begins so."""
    found = [sha256 for sha256 in known if sha256.startswith(digits)]
    if len(found) != 1:
        many = f"{len(found)} files have" if found else "no record names"
        raise UserError(
            f"{digits}: {many} a SHA-256 that begins so; expected one, give more digits or a path"
        )
    return Target(found[0], [], found)


def of_table(chain: Chain, path: Path) -> Target:
    """The records behind a target's table, chart or page."""
    table = path.with_suffix(".csv")
    named = {Path(row["record"]) for row in rows_of(table)} if table.is_file() else set()
    found = sorted(named & chain.records.keys())
    if not found:
        raise UserError(
            f"{path}: no record stands behind it ({table} names none that is here); "
            "expected the table, chart or page of a target with numbers, such as reports/RUN/figure3.svg"
        )
    return Target(path.as_posix(), found, [])
