"""What the embedded remote holds packed, and other remotes as it is: the tars of a folder, and encoders."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from m3ae import packing
from m3ae.artifacts.inventory import Artifact, Inventory
from m3ae.artifacts.remote import LIMIT
from m3ae.data import packed as shards
from m3ae.data.manifest import PACKED
from m3ae.packing import ENCODER, PACKED_ENCODER


def is_packed(path: Path) -> bool:
    """Whether a file holds others."""
    return path.name in (PACKED, PACKED_ENCODER)


def holder(path: Path) -> Path | None:
    """The packed file that holds this one, whether it is here or not; None for what is not packed."""
    if path.suffix == ".tar":
        return path.with_name(PACKED)
    return path.with_name(PACKED_ENCODER) if path.name == ENCODER else None


def packed(artifacts: list[Artifact]) -> list[Artifact]:
    """With packed files in place of what they hold; packed now, where that was not done."""
    source = {held: a.path for a in artifacts if (held := holder(a.path))}
    made = {held: pack(path) for held, path in source.items()}
    chosen = [replace(a, path=made.get(holder(a.path) or a.path, a.path)) for a in artifacts]
    return list({artifact.path: artifact for artifact in chosen}.values())


def pack(path: Path) -> Path:
    """Pack an encoder, or all tars of a folder of which this is one; what cannot fit stays as it is."""
    if path.suffix == ".tar":
        return shards.pack(path.parent)
    return packing.pack(path) if path.stat().st_size < 2 * LIMIT else path


def unpacked(artifacts: list[Artifact]) -> list[Artifact]:
    """Without packed files."""
    return [artifact for artifact in artifacts if not is_packed(artifact.path)]


def superseded(new: Collection[Path], listed: Collection[Path]) -> set[Path]:
    """Of the files that are listed, those that new ones hold, or are held by."""
    held = {path for path in listed if holder(path) in new}
    return held | ({packed for path in new if (packed := holder(path))} - set(new))


def unfit_pack(artifact: Artifact) -> str | None:
    """Why a packed file does not hold what record or manifest states; None if it does. Reads all of it."""
    if artifact.path.name == PACKED:
        return shards.finding(artifact.path)
    return packing.finding(artifact.path, artifact.sha256 or "")


def unpack_encoders(inventory: Inventory) -> None:
    """Bring encoders that lie here packed alone to their place, if records speak of these very weights.

    Raises UserError, one line, for a packed file that is broken.
    """
    for path in (path for job in inventory.jobs for path in job.outputs if path.name == ENCODER):
        packed = path.with_name(PACKED_ENCODER)
        if path.is_file() or not packed.is_file():
            continue
        # One that says nothing is broken: reading it tells how.
        if packing.hash_in(packed) in (None, inventory.statements.made.get(path)):
            packing.unpack(path)
