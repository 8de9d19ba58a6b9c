"""What of a run is published: ``results/RUN-KIND.dvc``, one small file in git for every kind of artifact.

They are DVC's own files, each with many outputs: a plain `dvc pull` brings what they list.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

from m3ae.errors import UserError
from m3ae.files import remove_abandoned, write_text

KINDS = (
    "encoders",
    "features",
    "layers",
    "pairs",
    "heads",
    "steps",
    "records",
    "manifests",
    "evalsets",
    "tokens",
    "shards",
    "reports",
)
"""What artifacts are of, as `m3ae.artifacts.inventory` tells them apart."""


class Entry(NamedTuple):
    """A published file."""

    path: Path
    """Relative to the project folder."""
    md5: str
    """DVC's name of the object."""
    size: int
    """Bytes."""

    @property
    def model(self) -> str | None:
        """The model that it belongs to; None for data."""
        parts = self.path.parts
        return parts[2] if parts[0] == "results" and len(parts) > 3 else None


def dvc_file(run: str, kind: str) -> Path:
    """Where the published artifacts of a kind are listed."""
    return Path("results") / f"{run}-{kind}.dvc"


def read_entries(path: Path) -> list[Entry]:
    """The outputs of a ``.dvc`` file; none if it is absent. Raises UserError if it is not one of ours."""
    try:
        content = yaml.safe_load(path.read_text())
        if Path(content["wdir"]) != Path(".."):
            raise ValueError("wdir")
        return [Entry(Path(out["path"]), out["md5"], out["size"]) for out in content["outs"]]
    except FileNotFoundError:
        return []
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: expected wdir `..` and outs, each with path, md5 and size; restore the file from git"
        ) from None


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Write a ``.dvc`` file, sorted by path: same content, same bytes."""
    outs = [
        {"path": entry.path.as_posix(), "md5": entry.md5, "size": entry.size, "hash": "md5"}
        for entry in sorted(entries)
    ]
    remove_abandoned(path.parent, f".{path.name}.*")
    write_text(path, yaml.safe_dump({"wdir": "..", "outs": outs}, sort_keys=False))


def published(run: str, kinds: Iterable[str] = KINDS, models: Iterable[str] = ()) -> dict[str, list[Entry]]:
    """What is published of a run, by kind; of some models alone, where any are named."""
    wanted = set(models)
    found = {kind: read_entries(dvc_file(run, kind)) for kind in kinds}
    chosen = {
        kind: [entry for entry in entries if not wanted or entry.model in wanted]
        for kind, entries in found.items()
    }
    return {kind: entries for kind, entries in chosen.items() if entries}


def megabytes(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size / 1e3:.1f} kB"
