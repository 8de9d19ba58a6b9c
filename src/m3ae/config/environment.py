"""What the workflow hands to its jobs through the environment."""

import os
import sys
from pathlib import Path

from m3ae.config.paths import DATA_ROOT


def prepare_jobs(data_root: str | None) -> None:
    """Let every job find the `m3ae` of this very Python, and the originals in ``data_root``."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if data_root is not None:
        os.environ[DATA_ROOT] = str(data_root)
