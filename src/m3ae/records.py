"""One JSON record per result: the number, its interval, what made it, and the items behind it."""

import base64
import platform
import subprocess
import time
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from m3ae.errors import UserError, first_finding
from m3ae.files import write_text

if TYPE_CHECKING:
    import numpy as np

# What a run writes itself does not make its code differ from the commit.
NOT_RESULTS = ("--", ".", ":!results", ":!reports", ":!README.md", ":!docs")
LIBRARIES = ("m3ae", "torch", "numpy", "scikit-learn", "pillow", "tokenizers")


class Items(BaseModel):
    """Per-item values behind a metric, so that differences between models can be paired."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: str
    data: str
    """zlib-compressed little-endian bytes, base64."""

    @classmethod
    def pack(cls, values: "np.ndarray") -> "Items":
        """Pack a 1-D array of numbers or truths."""
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        return cls(dtype=values.dtype.name, data=base64.b64encode(zlib.compress(raw, 9)).decode())

    def unpack(self) -> "np.ndarray":
        """The array again."""
        import numpy as np

        return np.frombuffer(zlib.decompress(base64.b64decode(self.data)), self.dtype)


class Metric(BaseModel):
    """A value with its interval; ``n`` test items stand behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float
    n: int
    unit: str
    """`%` (0 to 100), or the unit of an error."""
    items: dict[str, Items] = {}
    """Arrays over the test items, by name: `correct` for accuracies, `in` and `out` for AUROCs."""


class Record(BaseModel):
    """What one stage found for one model (and one subject: a task, a pair)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    model: str
    stage: str
    subject: str | None = None
    metrics: dict[str, Metric] = {}
    details: dict[str, Any] = {}
    """Facts of the stage that are no results: counts, chosen learning rate, parameters."""
    settings: dict[str, Any]
    """The stage's identity, as in the workflow."""
    inputs: dict[str, str]
    """SHA-256 of what went in, by name."""
    seeds: list[int]
    provenance: dict[str, Any] = {}
    """Everything that may differ between two equal results: time, machine, versions, commit."""

    def write(self, path: Path) -> None:
        """Write the record atomically, keys in a fixed order."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> Record:
    """Read a record. Raises UserError, one line, if it is missing or broken."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such record; the workflow makes it: snakemake {path}") from None
    except ValidationError as error:
        raise UserError(f"{path}: not a record ({first_finding(error)}); remove it and run again") from None


def provenance(started: float) -> dict[str, Any]:
    """Commit, versions, machine and wall time of work that began at ``started`` (time.time())."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no", *NOT_RESULTS)),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_s": round(time.time() - started, 1),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}},
    }


def installed(library: str) -> str | None:
    """Version of a library; None where it was not installed (a copy on the path, or a part left out)."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Processor, cores and accelerator of this machine."""
    import os
    import sys

    facts: dict[str, Any] = {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()}
    torch = sys.modules.get("torch")  # named only where the stage used it
    if torch is not None and torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def processor() -> str:
    """The processor's name as the system prints it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git(*arguments: str) -> str | None:
    """Output of a git command in the project folder; None outside a checkout."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
