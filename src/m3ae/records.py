"""One JSON record per result: the number, its interval, what made it, and the items behind it."""

import base64
import hashlib
import json
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
HASH = "sha256"
"""A record's last key: the hash of its content."""
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
        """Write the record atomically, keys in a fixed order, with the hash of its content at the end."""
        content = json.loads(self.model_dump_json())
        sealed = {**content, HASH: content_hash(content)}
        write_text(path, json.dumps(sealed, indent=1, ensure_ascii=False) + "\n")


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 of a record's content as plain JSON: of all but its provenance, and the hash itself.

    Two equal results have one hash, whenever and wherever they were made.
    """
    kept = {key: value for key, value in content.items() if key not in ("provenance", HASH)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def read_record(path: Path) -> Record:
    """Read a record. Raises UserError, one line, if it is missing, broken, or was edited."""
    try:
        content = json.loads(path.read_bytes())
        stated = content.pop(HASH, None) if isinstance(content, dict) else None
        record = Record.model_validate(content)
    except FileNotFoundError:
        raise UserError(f"{path}: no such record; the workflow makes it: snakemake {path}") from None
    except ValueError as error:
        found = first_finding(error) if isinstance(error, ValidationError) else error
        is_ours = path.absolute().is_relative_to(Path("results").absolute())
        cure = "remove it and run again" if is_ours else "expected a record, results/RUN/MODEL/*.json"
        raise UserError(f"{path}: not a record ({found}); {cure}") from None
    if stated != (found := content_hash(content)):
        raise UserError(
            f"{path}: was edited: expected content of {HASH} {stated or '(none is stated)'}, got {found}; "
            f"restore the file, or remove it and make it again: snakemake {path}"
        )
    return record


def read_placed(path: Path) -> Record:
    """Read a record of the project. Raises UserError, one line, if it is that of another place, too."""
    record = read_record(path)
    name = "-".join(filter(None, [record.stage, record.subject]))
    place = Path("results", record.run, record.model, f"{name}.json")
    if path != place:
        raise UserError(
            f"{path}: is the record of {place}; restore the file, or remove it and make it again: "
            f"snakemake {path}"
        )
    return record


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
