"""Whether what a training will write has room where it goes."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from m3ae.config.run import Run
from m3ae.data.cache import cache_from_environment
from m3ae.data.manifest import read_manifest
from m3ae.data.remote import remote_folder
from m3ae.train.architecture import num_parameters_of
from m3ae.train.doctor.findings import Finding, error, ok
from m3ae.train.doctor.units import size
from m3ae.train.kept import KEPT, STATE_BYTES
from m3ae.train.schedule import schedule_of

WEIGHT_BYTES = 4  # of a parameter in an encoder: fp32
LINE_BYTES = 512  # of the step log, generously


def check_disks(run: Run, name: str, vocab_size: int) -> list[Finding]:
    """One finding for each file system that the training writes to. What is there already counts."""
    needs: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for folder, needed in needs_of(run, name, vocab_size):
        place = existing(folder)
        needs[place.stat().st_dev].append((folder, max(0, needed)))
    return [check_disk(needed) for needed in needs.values()]


def needs_of(run: Run, name: str, vocab_size: int) -> Iterator[tuple[Path, int]]:
    """Folders, and the bytes that the training will add to each at its worst moment."""
    parameters = num_parameters_of(run, name, vocab_size)
    log = LINE_BYTES * (schedule_of(run, name).steps // run.settings_of(name).pretrain.log_steps + 1)
    state, results = run.paths.state(name), run.paths.results(name)
    written = sum(path.stat().st_size for path in state.rglob("checkpoint-*") if path.is_file())
    checkpoint = STATE_BYTES * parameters
    # At least one more: the newest is written before the oldest is dropped.
    yield state, max(checkpoint, (KEPT + 1) * checkpoint - written) + log
    yield results, WEIGHT_BYTES * parameters + log
    yield from cache_needs(run)


def cache_needs(run: Run) -> Iterator[tuple[Path, int]]:
    """The folder that keeps tars of a network, and what it still takes."""
    cache, manifest = cache_from_environment(), run.paths.manifest("train")
    if cache is None or remote_folder(run.paths.shards("train")) is None or not manifest.is_file():
        return
    shards = sum(shard.bytes for shard in read_manifest(manifest).shards)
    kept = sum(path.stat().st_size for path in cache.folder.glob("*.tar"))
    yield cache.folder, min(shards, cache.max_bytes) - kept


def check_disk(needs: list[tuple[Path, int]]) -> Finding:
    """The free space of one file system, beside all that goes there."""
    place = existing(needs[0][0])
    about = "disk: " + ", ".join(str(folder) for folder, _ in needs)
    if not all(os.access(existing(folder), os.W_OK) for folder, _ in needs):
        return error(about, "no right to write there; choose another folder or change its rights")
    needed, free = sum(bytes for _, bytes in needs), shutil.disk_usage(place).free
    says = f"{size(free)} free, the training writes {size(needed)}"
    return error(about, f"{says}; make room") if free < needed else ok(about, says)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in [folder.absolute(), *folder.absolute().parents] if path.is_dir())
