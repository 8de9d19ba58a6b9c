"""Files that were put here (`dvc pull`, `git clone`, a copy) count as made, if they are what their records say.

Runs whenever Snakemake reads the Snakefile. It looks at files alone that changed since Snakemake or we last
noted them; with none, it costs the time of asking for their states. What was made with other settings is noted
with those, so that Snakemake plans it again by its own rule; what does not fit its record is planned again too.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from m3ae.artifacts.cache import Hashes
from m3ae.artifacts.inventory import Inventory
from m3ae.artifacts.matching import Problem, Verdict, judge
from m3ae.artifacts.notes import FOLDER, Notes
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
    for line in told([verdict.problem for verdict in found.refused if verdict.problem]):
        say(f"m3ae: {line}")


def adopt(run: Run) -> Adopted:
    """Compare all that changed with its records, and note for Snakemake what it was made with."""
    inventory, notes, hashes = Inventory(run), Notes(), Hashes()
    found = Adopted([], [], [])
    for job in changed_jobs(inventory.jobs, notes):
        verdict = judge(inventory, job, hashes)
        if verdict is None:
            found.unknown.extend(path for path in job.outputs if path.exists())
            continue
        if verdict.problem is None:
            not_older_than_inputs(job, hashes)
        notes.write(job, verdict.params)
        (found.refused if verdict.problem else found.recognised).append(verdict)
    hashes.save()
    return found


def changed_jobs(jobs: list[Job], notes: Notes) -> Iterator[Job]:
    """Jobs with a file, read or made, that is newer than what Snakemake notes of it."""
    if not FOLDER.is_dir() and not any(path.exists() for job in jobs for path in job.outputs):
        return
    is_new: dict[Path, bool] = {}
    for path in {path for job in jobs for path in job.outputs}:
        is_new[path] = path.exists() and not notes.trusts(path)
    for job in jobs:
        is_here = any(path.exists() for path in job.outputs)
        if is_here and any(is_new.get(path, False) for path in [*job.outputs, *job.inputs.values()]):
            if not notes.is_unfinished(job):
                yield job


def not_older_than_inputs(job: Job, hashes: Hashes) -> None:
    """Give outputs at least the time of what they were made from: Snakemake compares times."""
    times = [path.stat().st_mtime_ns for path in job.inputs.values() if path.exists()]
    for path in job.outputs:
        if times and path.exists() and path.stat().st_mtime_ns < max(times):
            hashes.moved(path, max(times))


def told(problems: list[Problem]) -> Iterator[str]:
    """One line for each problem; many files with the same one share it."""
    by_what: dict[str, list[Path]] = {}
    for problem in problems:
        by_what.setdefault(problem.what, []).append(problem.path)
    for what, paths in by_what.items():
        others = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        yield (
            f"{paths[0]}{others}: {what}; planned again: snakemake {paths[0]}, "
            "or restore the settings or the file"
        )
