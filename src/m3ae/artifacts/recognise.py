"""Files that were put here (`dvc pull`, `git clone`, a copy) count as made, if they are what records say.

Runs whenever Snakemake reads the Snakefile, and looks at those files alone that changed since Snakemake or we
last noted them, or that are noted as made in another way than the run says. What was made with other settings
is noted with those, so that Snakemake plans it again by its own rule; what does not fit its record is planned
again too.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from m3ae.artifacts.cache import Hashes
from m3ae.artifacts.inventory import Inventory
from m3ae.artifacts.logs import restore_logs
from m3ae.artifacts.matching import Verdict, judge
from m3ae.artifacts.notes import Notes
from m3ae.artifacts.packed import unpack_encoders
from m3ae.artifacts.work import Job
from m3ae.config.run import Run


class Adopted(NamedTuple):
    """What was found."""

    recognised: list[Verdict]
    """Files that count as made."""
    refused: list[Verdict]
    """Files that are planned again, with the problem."""
    unknown: list[Path]
    """New files of which no record speaks."""


def recognise(run: Run, say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> None:
    """Adopt what is new, and say in one line each what does not match.

    Raises UserError, one line, for a record that was edited.
    """
    if not Path("results").is_dir() and not Path("data").is_dir():
        return
    found = adopt(run)
    if found.recognised:
        kinds = Counter(verdict.job.stage for verdict in found.recognised)
        say("m3ae: recognised " + ", ".join(f"{count} {stage}" for stage, count in kinds.items()))
    for line in told(found.refused):
        say(f"m3ae: {line}")


def adopt(run: Run) -> Adopted:
    """Compare all that changed with its records, and note for Snakemake what it was made with."""
    inventory, notes, hashes = Inventory(run), Notes(), Hashes()
    found = Adopted([], [], [])
    restore_logs(inventory, hashes)
    unpack_encoders(inventory)
    new = new_files(inventory.jobs, notes)
    for job in inventory.jobs:  # makers before readers
        is_brought = not new.isdisjoint(job.outputs)
        is_touched = is_brought or not new.isdisjoint(job.inputs.values()) or is_older_than_inputs(job)
        if not (is_touched or notes.differ(job)) or not is_finished(job, notes):
            continue
        verdict = judge(inventory, job, hashes)
        if verdict is None:
            found.unknown.extend(path for path in job.outputs if path in new)
            continue
        inputs = job.inputs.values() if is_brought else verdict.stated
        moved = set() if verdict.problem else not_older_than([*inputs, *job.beside], job, hashes)
        new |= moved
        if not is_brought and not moved and notes.say(job, verdict.params):
            continue
        notes.write(job, verdict.params)
        (found.refused if verdict.problem else found.recognised).append(verdict)
    for job in filter(notes.miss, inventory.jobs):  # now that no file is refused: a new note vouches for it
        notes.forget_inputs(job)
    hashes.save()
    return found


def new_files(jobs: list[Job], notes: Notes) -> set[Path]:
    """Files that changed after what Snakemake notes of them, or of which it has no note."""
    made = {path for job in jobs for path in job.outputs}
    return {path for path in made if path.exists() and not notes.trusts(path)}


def is_finished(job: Job, notes: Notes) -> bool:
    """Whether anything of a job is here, and nothing half made."""
    return any(path.exists() for path in job.outputs) and not notes.is_unfinished(job)


def is_older_than_inputs(job: Job) -> bool:
    """Whether Snakemake would make a job again for the time of an input; its bytes may be as before."""
    times = [path.stat().st_mtime_ns for path in job.outputs if path.exists()]
    return bool(times) and min(times) < newest([*job.inputs.values(), *job.beside])


def not_older_than(inputs: Iterable[Path], job: Job, hashes: Hashes) -> set[Path]:
    """Give outputs at least the time of ``inputs``, by which Snakemake judges: those that changed."""
    time_ns = newest(inputs)
    older = {path for path in job.outputs if path.exists() and path.stat().st_mtime_ns < time_ns}
    for path in older:
        hashes.moved(path, time_ns)
    return older


def newest(paths: Iterable[Path]) -> int:
    """The latest time of modification among files that are here (ns); 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in paths if path.exists()), default=0)


def told(refused: list[Verdict]) -> Iterator[str]:
    """One line for each problem; many files with the same one share it. Receipts are no targets."""
    by_what: dict[str, list[tuple[Path, Path]]] = {}
    for verdict in refused:
        if verdict.problem:
            path = verdict.problem.path
            target = path if path in verdict.job.outputs else verdict.job.outputs[0]
            by_what.setdefault(verdict.problem.what, []).append((path, target))
    for what, paths in by_what.items():
        others = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        path, target = paths[0]
        yield (
            f"{path}{others}: {what}; planned again: snakemake {target}, or restore the settings or the file"
        )
