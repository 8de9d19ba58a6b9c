"""Rebuilding broken clean shards alone, from the raw samples; their index and captions, from the shards."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from m3ae.config import Run, load_run
from m3ae.config.data import Clean
from m3ae.data.clean.describe import CAPTIONS_SCHEMA, write_columns, write_index
from m3ae.data.clean.examine import examine
from m3ae.data.clean.shardreader import read_rows
from m3ae.data.clean.shardwriter import TarWriter, flush_to_disk
from m3ae.data.clean.verify import Broken
from m3ae.data.manifest import CAPTIONS, INDEX, ORIGIN, ORIGINS, Manifest
from m3ae.data.raw.open import open_raw
from m3ae.data.raw.samples import Raw, Rejected
from m3ae.errors import UserError
from m3ae.files import sha256_of


def repair(folder: Path, manifest: Manifest, broken: list[Broken], run: Run | None = None) -> list[str]:
    """Rebuild broken files, each atomically and only if it has the manifest's checksum again.

    Returns a line for each file that cannot be rebuilt and therefore stays as it is. ``run`` is the one that
    made the shards: by default what ``origin.json`` names.
    """
    names = {item.path.name for item in broken}
    wrong = [number for number, shard in enumerate(manifest.shards) if shard.name in names]
    failures: list[str] = []
    for number in wrong:
        try:
            raw = open_raw(run or run_of(folder), manifest.split)
            rebuild_shard(raw, folder, manifest, number)
        except UserError as error:
            failures.append(f"{folder / manifest.shards[number].name}: cannot be rebuilt: {error}")
    for name in sorted(names & {INDEX, CAPTIONS}):
        if failures:
            failures.append(f"{folder / name}: cannot be rebuilt before its shards are")
            continue
        try:
            rebuild_description(folder, manifest, name)
        except UserError as error:
            failures.append(str(error))
    return failures


def run_of(folder: Path) -> Run:
    """The run that made a folder of shards, as its ``origin.json`` says."""
    path = folder / ORIGIN
    try:
        name = json.loads(path.read_bytes())["run"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: expected the run that made the shards, found none") from None
    return load_run(name)


def rebuild_shard(raw: Raw, folder: Path, manifest: Manifest, number: int) -> None:
    """Examine the samples of one shard again, and put its tar in place if it has the old checksum."""
    shard = manifest.shards[number]
    with replacement(folder / shard.name) as temporary:
        with temporary.open("wb") as file:
            tar = TarWriter(file, sum(earlier.count for earlier in manifest.shards[:number]))
            fill(tar, raw, manifest, keys_of(folder, manifest, number))
            tar.close()
        check_sum(temporary, shard.sha256, f"{raw.name} no longer gives the samples of {shard.name}")


def fill(tar: TarWriter, raw: Raw, manifest: Manifest, keys: list[str]) -> None:
    """Add the samples with these keys, as they were examined with the manifest's own settings."""
    settings, captioned = settings_of(manifest), manifest.split != "images"
    samples = raw.samples(frozenset(keys))
    for key in keys:
        sample = next(samples, None)
        if sample is None or sample.key != key:
            raise UserError(f"{raw.name} no longer has sample {key}; {from_scratch(manifest)}")
        result = examine(sample, settings, captioned=captioned)
        if isinstance(result, Rejected):
            raise UserError(f"{raw.name}: sample {key} is now {result.reason}; {from_scratch(manifest)}")
        tar.add(result)


def settings_of(manifest: Manifest) -> Clean:
    """The settings with which the shards were made, whatever the run's are today."""
    known = {name: value for name, value in manifest.settings.items() if name in Clean.model_fields}
    try:
        return Clean.model_validate(known)
    except ValidationError:
        raise UserError(f"its settings are those of another version; {from_scratch(manifest)}") from None


def keys_of(folder: Path, manifest: Manifest, number: int) -> list[str]:
    """The keys of a shard's samples within their source: a group of rows of ``origins.parquet``."""
    path = folder / ORIGINS
    try:
        with pq.ParquetFile(path) as file:
            keys = file.read_row_group(number, columns=["key"])["key"].to_pylist()
    except (pa.ArrowException, OSError, IndexError, ValueError):
        keys = []
    if len(keys) != manifest.shards[number].count:
        raise UserError(f"{path} does not say where its samples came from; {from_scratch(manifest)}")
    return keys


def rebuild_description(folder: Path, manifest: Manifest, name: str) -> None:
    """Write the index, or the captions, again from the tars."""
    expected = {INDEX: manifest.index_sha256, CAPTIONS: manifest.captions_sha256}[name]
    with replacement(folder / name) as temporary:
        tables = (read_rows(folder / shard.name) for shard in manifest.shards)
        if name == INDEX:
            write_index(temporary, tables)
        else:
            write_columns(temporary, CAPTIONS_SCHEMA, tables)
        check_sum(temporary, expected, f"{folder / name}: its shards give another one")


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A neighbour that replaces ``path`` if the block succeeds; after a failure ``path`` is untouched."""
    temporary = path.with_name(f".{path.name}.repair")
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); nothing was replaced") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_sum(path: Path, sha256: str, otherwise: str) -> None:
    """Raise UserError unless a rebuilt file has the manifest's checksum."""
    if sha256_of(path) != sha256:
        raise UserError(f"{otherwise} (same settings, another sha256); nothing was replaced")


def from_scratch(manifest: Manifest) -> str:
    """What to do where nothing can be rebuilt alone."""
    return f"clean the split again: m3ae data clean --run RUN --split {manifest.split}"
