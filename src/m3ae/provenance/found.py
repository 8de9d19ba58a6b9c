"""Every record that lies in the project folder, whatever run or stage wrote it."""

from collections.abc import Iterator
from pathlib import Path

from m3ae.errors import UserError
from m3ae.records import Record, read_record

RESULTS = Path("results")


def records_of(run: str) -> list[tuple[Path, Record]]:
    """The records of a run by path, sorted. Raises UserError where there are none, or one is broken."""
    found = list(records_below(RESULTS / run))
    if not found:
        raise UserError(
            f"{RESULTS / run}: no records there; make them (snakemake all --config run={run}) or pull them"
        )
    return found


def records_below(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Records `MODEL/STAGE.json` below the folder of a run."""
    for path in sorted(folder.glob("*/*.json")):
        yield path, read_record(path)
