"""Every checksum of a folder of clean shards, recomputed: what is broken, by name."""

from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, Manifest
from m3ae.data.packed import unpack
from m3ae.data.remote import remote_folder
from m3ae.files import sha256_of


class Broken(NamedTuple):
    """A file that is not what the manifest says."""

    path: Path
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}"


def find_broken(folder: Path, manifest: Manifest) -> list[Broken]:
    """Every shard, index or list of captions that is missing or differs; empty where all is well.

    Shards that were brought packed are unpacked first.
    """
    unpack(folder, manifest)
    files = {shard.name: (shard.bytes, shard.sha256) for shard in manifest.shards}
    described = {INDEX: manifest.index_sha256, CAPTIONS: manifest.captions_sha256}
    total = sum(size for size, _ in files.values())
    broken = []
    with tqdm(total=total, desc="verify", unit="B", unit_scale=True, disable=None) as progress:
        for name, (size, sha256) in files.items():
            broken += check_file(folder / name, size, sha256)
            progress.update(size)
    for name, sha256 in described.items():
        broken += check_file(folder / name, None, sha256)
    return broken


def check_file(path: Path, size: int | None, sha256: str) -> list[Broken]:
    """Compare one file's size, where it is known, and its checksum."""
    try:
        bytes_found = path.stat().st_size
        if size not in (None, bytes_found):
            return [Broken(path, f"{size} bytes", f"{bytes_found}")]
        found = sha256_of(path)
    except FileNotFoundError:
        if size is not None and remote_folder(path.parent):
            return []  # tars may lie behind a network, where nobody can lose them here
        return [Broken(path, "a file" if size is None else f"{size} bytes", "no such file")]
    except OSError as error:  # a bad sector is a broken shard too
        return [Broken(path, f"sha256 {sha256}", f"a file that cannot be read ({error.strerror})")]
    return [] if found == sha256 else [Broken(path, f"sha256 {sha256}", found)]


def repair_hint(folder: Path) -> str:
    """What to do about broken shards."""
    return f"rebuild what is broken: m3ae data verify {folder / MANIFEST} --repair"
