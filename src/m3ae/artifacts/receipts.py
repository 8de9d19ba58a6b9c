"""What a figure was drawn from, and the bytes that came out, kept beside it.

The workflow does not declare a receipt: without one a figure is drawn again, in seconds.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from m3ae.artifacts.cache import digest_of
from m3ae.artifacts.targets import figure_jobs
from m3ae.config.run import Run
from m3ae.files import write_text
from m3ae.records import HASH, content_hash


@contextmanager
def receipt(run: Run, target: str) -> Iterator[None]:
    """Leave a receipt for ``target`` if the block succeeds; what it reads is hashed before."""
    job = next((job for job in figure_jobs(run) if job.stage == target), None)
    inputs = hashes(job.inputs.values()) if job else {}
    yield
    if job:
        content = {"target": target, "settings": job.params()[0], "inputs": inputs}
        content["outputs"] = hashes(job.outputs)
        write_text(job.records[0], json.dumps({**content, HASH: content_hash(content)}, indent=1) + "\n")


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of those files that are there, by path; of settings, of what they say."""
    return {path.as_posix(): digest_of(path) for path in paths if path.is_file()}
