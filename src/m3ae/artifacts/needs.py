"""Which inputs a job still asks for, once its results are here.

Whoever pulled an encoder need not have the data that it was trained on. If another job needs those data, the
workflow makes them; that must not train the encoder again: its record says what it was trained on, and the
next call of Snakemake compares (recognise.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m3ae.artifacts.inventory import read_plain
from m3ae.artifacts.matching import made_params
from m3ae.artifacts.notes import Notes
from m3ae.artifacts.work import Job


def needed(workflow: Any, job: Job, files: Sequence[Path]) -> list[Path]:
    """``files``, without those that are missing if the job's results were brought and fit the run.

    Not if the user forces jobs: then every job asks for all that it reads.
    """
    here = [path for path in files if path.exists()]
    if len(here) == len(files) or is_forced(workflow) or not was_brought(job):
        return list(files)
    return here


def was_brought(job: Job) -> bool:
    """Whether all of a job's results are here, made as the run says, and not made by Snakemake here."""
    if not all(path.exists() for path in job.outputs):
        return False
    params, notes = job.params(), Notes()
    fits = all(made_params(job, read_plain(path), params) == params for path in job.records)
    return fits and not any(notes.inputs(path) for path in job.outputs)


def is_forced(workflow: Any) -> bool:
    """Whether the command line names jobs that run whatever is there."""
    asked = workflow.dag_settings
    return bool(asked.forceall or asked.forcerun or asked.forcetargets)
