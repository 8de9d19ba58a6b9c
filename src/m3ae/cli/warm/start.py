"""Start a warm server beside a workflow that has enough to do."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

from m3ae.cli.warm.client import ADDRESS

WORTH_IT = 6  # jobs: what the server imports takes as long as what three of them would import

LONGEST = 100  # bytes: a socket's address has 108, its end and the file's name among them


def start_warm(jobs: int) -> None:
    """Let this process's ``jobs`` start warm, until it ends; where it pays, and where forking is safe."""
    if jobs < WORTH_IT or sys.platform != "linux":
        return
    address = new_address()
    if address is None:
        return
    ends_with_us, _held = os.pipe()  # nobody closes the second end but this process's end
    words = [sys.executable, "-m", "m3ae.cli.warm", str(address)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.Popen(words, stdin=ends_with_us, env={**os.environ, **one})
    os.close(ends_with_us)
    os.environ[ADDRESS] = str(address)


def new_address() -> Path | None:
    """Where a server may listen, for this user alone; None where there is no room for such a file."""
    try:
        folder = Path(mkdtemp(prefix="m3ae-"))
    except OSError:
        return None
    if len(bytes(folder)) > LONGEST:
        folder.rmdir()
        return None
    return folder / "warm"
