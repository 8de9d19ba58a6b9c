"""``m3ae env``: this environment, the lock, and the environment of a record. Imports no torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged
from m3ae.errors import UserError

if TYPE_CHECKING:
    from m3ae.provenance.environment import Comparison, Row
    from m3ae.records import Record

COLUMNS = ("package", "locked", "made with", "here")
lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path),
    default="constraints.txt",
    show_default=True,
    help="The environment lock: lines `package==version`.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")


@click.group()
def env() -> None:
    """This environment beside the lock, and beside the one that made a result.

    The lock is constraints.txt: `make env` installs it into .venv.
    """


@env.command()
@click.argument("record", required=False, type=click.Path(path_type=Path))
@click.option("--run", "run_name", help="Compare with the environments of all records of this run.")
@lock_option
@click.option("--all", "everything", is_flag=True, help="Also list the packages that agree.")
@json_option
@logged
def check(record: Path | None, run_name: str | None, lock: Path, everything: bool, as_json: bool) -> None:
    """Tell what differs between this environment, the lock and the one that made RECORD.

    RECORD is one of results/RUN/MODEL/*.json. Builds of one release (2.13.0 and 2.13.0+cpu) count as the
    same against the lock, not against a record. Python and the machine are shown and judged by nobody.

    \b
    Exit code: 0  every locked package that is installed is the lock's
               1  one is not, or the project needs one that is not installed
    """
    from m3ae.provenance.environment import compare
    from m3ae.provenance.lock import read_lock

    found = compare(read_lock(lock), records(record, run_name))
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
    else:
        click.echo(in_words(found, lock, everything, with_record=bool(record or run_name)))
    raise SystemExit(1 if found.has_left_lock else 0)


@env.command()
@json_option
@logged
def show(as_json: bool) -> None:
    """Print this environment: machine, Python, every package; pip can install the lines."""
    from m3ae.provenance.environment import here_machine
    from m3ae.provenance.lock import installed_packages

    machine, packages = here_machine(), installed_packages()
    if as_json:
        click.echo(json.dumps({"machine": machine, "packages": packages}, indent=1))
        return
    for name, value in machine.items():
        click.echo(f"# {name}: {'-' if value is None else value}")
    for name, version in packages.items():
        click.echo(f"{name}=={version}")


def records(record: Path | None, run_name: str | None) -> "list[Record]":
    """The records to compare with: one, those of a run, or none."""
    from m3ae.provenance.found import records_of
    from m3ae.records import read_record

    if record and run_name:
        raise UserError("expected a record or --run, got both; leave one out")
    if run_name:
        return [found for _, found in records_of(run_name)]
    return [read_record(record)] if record else []


def plain(found: "Comparison") -> dict:
    """The comparison as JSON has it."""
    return {
        "packages": [row.plain() for row in found.packages],
        "machine": [row.plain() for row in found.machine],
        "missing": found.missing,
        "absent": found.absent,
        "has_left_lock": found.has_left_lock,
    }


def in_words(found: "Comparison", lock: Path, everything: bool, with_record: bool) -> str:
    """The table, what is missing, and the verdict last."""
    shown = [row for row in found.packages if everything or row.differs]
    shown += found.machine if with_record else []
    said = [table(shown, with_record), ""] if shown else []
    if found.absent:
        said.append(f"{len(found.absent)} locked packages are not installed (extras, or another system's)")
    if found.missing:
        said.append(f"needed and not installed: {', '.join(found.missing)}")
    return "\n".join([*said, verdict(found, lock)])


def table(rows: "list[Row]", with_record: bool) -> str:
    """package | locked | made with | here; a dash where nothing is stated."""
    from tabulate import tabulate

    cells = [[row.name, row.locked, ", ".join(row.made_with), row.here] for row in rows]
    columns = list(COLUMNS)
    if not with_record:
        cells, columns = [[*row[:2], row[3]] for row in cells], [*COLUMNS[:2], COLUMNS[3]]
    return tabulate([[cell or "-" for cell in row] for row in cells], columns, disable_numparse=True)


def verdict(found: "Comparison", lock: Path) -> str:
    """Whether this is the locked environment, and what to do if not."""
    left = [row.name for row in found.packages if row.has_left_lock]
    num = sum(row.locked is not None and row.here is not None for row in found.packages)
    if not found.has_left_lock:
        return f"This is the environment of {lock}: {num} packages agree."
    named = ", ".join([*left, *found.missing])
    return f"This is not the environment of {lock}: {named}. Mend it: pip install -c {lock} -e '.[test]'"
