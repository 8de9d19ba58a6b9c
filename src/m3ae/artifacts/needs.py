"""Which inputs a job still asks for, once its results are here.

Whoever pulled an encoder need not have the data that it was trained on. If another job needs those data, the
workflow makes them; that must not train the encoder again: its record says what it was trained on, and the
next call of Snakemake compares (recognise.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m3ae.artifacts.jobs import jobs
from m3ae.artifacts.notes import Notes
from m3ae.artifacts.work import Job
from m3ae.config.run import Run


class Needs:
    """What the jobs of a run ask for."""

    def __init__(self, workflow: Any, run: Run) -> None:
        self.makers = {path: job for job in jobs(run) for path in job.outputs}
        self.notes = Notes()
        self.settled: dict[Path, bool] = {}
        self.workflow = workflow

    def of(self, outputs: Sequence[Path], files: Sequence[Path]) -> list[Path]:
        """``files``, without those that are missing if ``outputs``, made from them, were brought and stay.

        Not if the user forces jobs, or if anything that the outputs were made from will be made again: then
        the job runs, and asks for all that it reads.
        """
        here = [path for path in files if path.exists()]
        if len(here) == len(files) or self.is_forced or any(map(self.notes.inputs, outputs)):
            return list(files)
        return here if all(map(self.stays, outputs)) else list(files)

    @property
    def is_forced(self) -> bool:
        """Whether the command line names jobs that run whatever is there."""
        asked = self.workflow.dag_settings
        return bool(asked.forceall or asked.forcerun or asked.forcetargets)

    def stays(self, path: Path) -> bool:
        """Whether no job will make a file again. Lists and downloads, of which no record speaks, stay."""
        if path not in self.makers:
            return True
        if path not in self.settled:
            self.settled[path] = self.is_settled(self.makers[path])
        return self.settled[path]

    def is_settled(self, job: Job) -> bool:
        """Whether a job's results are here, noted as made the way the run says, and what they read stays.

        What Snakemake made here itself asks for all that it noted then.
        """
        if not all(path.exists() for path in job.outputs) or not self.notes.say(job, job.params()):
            return False
        noted = {Path(name) for path in job.outputs for name in self.notes.inputs(path) or []}
        read = noted or {path for path in job.inputs.values() if path.exists()}
        return all(path.exists() and self.stays(path) for path in read)
