"""The tars of a folder of clean shards in one compressed file, for a store where megabytes count.

A tar of small pictures is mostly padding and repeated headers: packed, it takes a third. `dvc pull` brings
the packed file; whoever reads the shards first unpacks it, into the bytes that the manifest states.
"""

import hashlib
import lzma
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from m3ae.data.manifest import MANIFEST, PACKED, Manifest, Shard, read_manifest
from m3ae.errors import UserError
from m3ae.files import atomic_path, remove_abandoned, sha256_of


def pack(folder: Path) -> Path:
    """Pack the tars of a folder, unless that was done; same tars, same bytes. Where they are then.

    Raises UserError if a tar is not the one that the manifest states.
    """
    packed = folder / PACKED
    if packed.is_file() and finding(packed) is None:
        return packed
    remove_abandoned(folder, f".{PACKED}.*")
    with atomic_path(packed) as partial, tarfile.open(partial, "w:xz", preset=9) as archive:
        for shard in read_manifest(folder / MANIFEST).shards:
            add(archive, folder / shard.name, shard)
    return packed


def add(archive: tarfile.TarFile, path: Path, shard: Shard) -> None:
    """Add a tar under its name, with no time and no owner."""
    if not path.is_file() or sha256_of(path) != shard.sha256:
        raise UserError(f"{path}: expected sha256 {shard.sha256[:12]}, as {MANIFEST} states; rebuild it")
    member = tarfile.TarInfo(shard.name)
    member.size = shard.bytes
    with open(path, "rb") as file:
        archive.addfile(member, file)


def unpack(folder: Path, manifest: Manifest) -> None:
    """Bring tars that are missing out of the packed file, where there is one; the others stay as they are.

    Raises UserError, one line, if it is broken or holds other tars: each tar is whole or absent.
    """
    packed = folder / PACKED
    missing = {shard.name for shard in manifest.shards if not (folder / shard.name).is_file()}
    if not missing or not packed.is_file():
        return
    with reading(packed):
        for shard, file in tars(packed, manifest):
            if shard.name in missing:
                with atomic_path(folder / shard.name) as partial:
                    with open(partial, "wb") as target:
                        shutil.copyfileobj(file, target)
                    check(packed, shard, sha256_of(partial))


def finding(packed: Path) -> str | None:
    """Why a packed file is not what the manifest beside it states; None if it is. Reads all of it."""
    try:
        with reading(packed):
            for shard, file in tars(packed, read_manifest(packed.with_name(MANIFEST))):
                check(packed, shard, hashlib.sha256(file.read()).hexdigest())
    except UserError as error:
        return str(error)
    return None


def tars(packed: Path, manifest: Manifest) -> Iterator[tuple[Shard, IO[bytes]]]:
    """The tars in a packed file, in its order: those of the manifest and no others, of the sizes stated."""
    missing = {shard.name: shard for shard in manifest.shards}
    with tarfile.open(packed, "r:xz") as archive:
        for member in archive:
            shard = missing.pop(member.name, None)
            file = archive.extractfile(member) if shard and member.size == shard.bytes else None
            if shard is None or file is None:
                raise broken(packed, f"expected the tars of {MANIFEST}, found {member.name!r}")
            yield shard, file
    if missing:
        raise broken(packed, f"expected {next(iter(missing))}, found no such tar")


def check(packed: Path, shard: Shard, found: str) -> None:
    """Raise UserError unless a tar is the one that the manifest states."""
    if found != shard.sha256:
        raise broken(packed, f"{shard.name}: expected sha256 {shard.sha256[:12]}, found {found[:12]}")


@contextmanager
def reading(packed: Path) -> Iterator[None]:
    """Say in one line what is broken in the file that is read within."""
    try:
        yield
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise broken(packed, f"cannot be unpacked ({error})") from None


def broken(packed: Path, what: str) -> UserError:
    """The error for a file that cannot be used."""
    return UserError(f"{packed}: {what}; bring it again (dvc pull --force), or remove it and make the shards")
