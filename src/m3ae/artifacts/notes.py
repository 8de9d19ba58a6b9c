"""What Snakemake knows of the files here, and how it is told what files that were brought were made with.

Snakemake notes for every output what it was made with, below ``.snakemake/``. A file that was put there has
no note: Snakemake would compare times alone, and they say nothing after `dvc pull` or `git clone`.
"""

import os
import time
from pathlib import Path
from typing import Any

from m3ae.artifacts.work import Job

FOLDER = Path(".snakemake")


class Notes:
    """Snakemake's notes of this folder."""

    def __init__(self) -> None:
        from snakemake.persistence.file import FilePersistence

        self.persistence: FilePersistence = FilePersistence(nolock=True)

    def place(self, kind: str, path: Path) -> Path:
        """Where a note lies: `metadata` of a finished file, `incomplete` of one that is being made."""
        folder = os.fspath(self.persistence.path / kind)
        return Path(self.persistence._record_path(folder, path.as_posix()))

    def trusts(self, path: Path) -> bool:
        """Whether Snakemake's note is younger than the file's last change, of bytes or of inode.

        A note of a time to come was written before the clock was set back, and says nothing of what followed.
        """
        try:
            note, file = self.place("metadata", path).stat(), path.stat()
        except FileNotFoundError:
            return False
        return file.st_ctime_ns <= note.st_mtime_ns <= time.time_ns()

    def is_unfinished(self, job: Job) -> bool:
        """Whether a job is running now, or was killed: Snakemake makes its files again by itself."""
        return any(self.place("incomplete", path).exists() for path in job.outputs)

    def params(self, path: Path) -> list[str] | None:
        """What a file was made with, as noted; None without a note."""
        return (note := self.persistence._read_record(path.as_posix())) and note.params

    def inputs(self, path: Path) -> list[str] | None:
        """What a file was made from, as Snakemake noted when it made it here; None if it was brought."""
        return (note := self.persistence._read_record(path.as_posix())) and note.input

    def say(self, job: Job, params: list[Any]) -> bool:
        """Whether all of a job's files are noted with these parameters."""
        return all(self.params(path) == noted(params) for path in job.outputs)

    def differ(self, job: Job) -> bool:
        """Whether a job is noted as made in another way than the run says.

        Files may fit all the same: a record that was restored, the features of a row that is no headline
        any more and has none of its last blocks. Listings have no record: Snakemake decides.
        """
        was = self.params(job.outputs[0]) if job.records else None
        return was is not None and was != noted(job.params())

    def contradict(self, job: Job, params: list[Any]) -> bool:
        """Whether any of a job's files is noted with other parameters; without a note, times count alone."""
        return any(self.params(path) not in (None, noted(params)) for path in job.outputs)

    def miss(self, job: Job) -> bool:
        """Whether Snakemake noted inputs of a job that are gone, or that no rule names now; receipts tell."""
        read = None if job.has_receipt else self.inputs(job.outputs[0])
        return read is not None and (
            {*read} != {*map(str, job.reads)} or any(not Path(name).exists() for name in read)
        )

    def forget_inputs(self, job: Job) -> None:
        """Take out what was read: Snakemake would plan the job for it, whatever the records say."""
        for path in job.outputs:
            if note := self.persistence._read_record(path.as_posix()):
                note.input = None
                self.persistence._write_record(path.as_posix(), note)

    def write(self, job: Job, params: list[Any]) -> None:
        """Note what a job's files were made with: all that it declares, brought or not."""
        from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord

        for path in job.outputs:
            note = self.persistence._read_record(path.as_posix()) or MetadataRecord(rule=job.stage)
            note.params = noted(params)
            if job.has_receipt:  # of other jobs, what lies here decides (needs.py)
                note.input = sorted(path.as_posix() for path in job.inputs.values())
            note.incomplete, note.record_format_version = False, RECORD_FORMAT_VERSION
            self.persistence._write_record(path.as_posix(), note)


def noted(params: list[Any]) -> list[str]:
    """Parameters as Snakemake notes them."""
    return sorted(map(repr, params))
