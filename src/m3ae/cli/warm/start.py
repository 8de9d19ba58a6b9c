"""Start a warm server beside a workflow that has enough to do."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

from m3ae.cli.warm.client import ADDRESS

WORTH_IT = 6  # jobs: what the server imports takes as long as what three of them would import


def start_warm(jobs: int) -> None:
    """Let this process's ``jobs`` start warm, until it ends; where it pays, and where forking is safe."""
    if jobs < WORTH_IT or sys.platform != "linux":
        return
    address = Path(mkdtemp(prefix="m3ae-")) / "warm"
    ends_with_us, _held = os.pipe()  # nobody closes the second end but this process's end
    words = [sys.executable, "-m", "m3ae.cli.warm", str(address)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.Popen(words, stdin=ends_with_us, env={**os.environ, **one})
    os.close(ends_with_us)
    os.environ[ADDRESS] = str(address)
