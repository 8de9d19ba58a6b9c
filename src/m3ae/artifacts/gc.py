"""Objects of the embedded remote that nothing refers to any more."""

from pathlib import Path
from typing import NamedTuple

from m3ae.artifacts.remote import EMBEDDED, opened


class Unused(NamedTuple):
    """An object that no ``.dvc`` file of this working tree names."""

    path: Path
    size: int


def unused() -> list[Unused]:
    """Unused objects of the embedded remote, and what a killed push left there.

    Those of other commits need not be kept: git brings them with their commit.
    """
    with opened() as project:
        used = project.referenced()
    files = sorted(path for path in EMBEDDED.rglob("*") if path.is_file())
    return [Unused(path, path.stat().st_size) for path in files if path.parent.name + path.name not in used]


def remove(objects: list[Unused]) -> None:
    """Delete them."""
    for found in objects:
        found.path.unlink()
