"""What was run, when, on what: the records of all runs, by run and model, whatever the configuration says."""

from collections import Counter
from pathlib import Path
from typing import Any

from m3ae.errors import UserError
from m3ae.records import Record, read_record
from m3ae.report.provenance import by_stage, commit, machine
from m3ae.report.results import STAGES

RESULTS = Path("results")


def runs(name: str | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """One row per run and model that has records, the last finished last; and what could not be read.

    ``name``: this run alone. Columns: run, model, stages (how many records each has), finished (UTC), wall_s
    (summed), machines, commits. Raises UserError if there are no records.
    """
    rows, refused = [], []
    for folder in sorted(RESULTS.glob(f"{name or '*'}/*/")):
        records, unread = read_all(folder)
        refused += unread
        if records:
            rows.append(row(folder, records))
    if not rows and not refused:
        where = RESULTS / name if name else RESULTS
        raise UserError(f"{where}/: no records; make some: snakemake all --config run={name or 'tiny'}")
    return sorted(rows, key=lambda row: (row["run"], row["finished"])), refused


def read_all(folder: Path) -> tuple[list[Record], list[str]]:
    """The records of a model, and why others could not be read."""
    records, refused = [], []
    for path in sorted(folder.glob("*.json")):
        if path.stem.partition("-")[0] in STAGES:
            try:
                records.append(read_record(path))
            except UserError as error:
                refused.append(str(error))
    return records, refused


def row(folder: Path, records: list[Record]) -> dict[str, Any]:
    """What the records of a model say together."""
    made = by_stage(records)
    count = Counter(record.stage for record in records)
    return {
        "run": folder.parent.name,
        "model": folder.name,
        "stages": {stage: count[stage] for stage in STAGES if count[stage]},
        "finished": max((facts.get("finished") or "" for facts in made.values()), default=""),
        "wall_s": round(sum(facts.get("wall_s", 0) for facts in made.values()), 1),
        "machines": list(dict.fromkeys(machine(facts) for facts in made.values())),
        "commits": list(dict.fromkeys(commit(facts) for facts in made.values())),
    }
