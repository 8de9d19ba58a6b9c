"""Bring published artifacts of a run: from a remote, or from the mirror where that has no whole object."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from m3ae.artifacts.remote import NotThere, Objects, Project, md5_of, opened
from m3ae.artifacts.store import KINDS, Entry, published
from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.files import atomic_path, remove_abandoned
from m3ae.packing import ENCODER, PACKED_ENCODER, unpack


class Pulled(NamedTuple):
    """What a pull did, in numbers of files."""

    brought: int
    there: int
    """Lay here already, with the right content."""
    bytes: int


def pull(
    run: Run,
    kinds: Collection[str] = (),
    models: Collection[str] = (),
    remote: str | None = None,
    force: bool = False,
) -> Pulled:
    """Bring what is published of some kinds and models (all, where none is named).

    Every file is whole or absent: it is checked under another name. Encoders that come packed are unpacked.
    Raises UserError with one line for each that could not be brought; the others lie in their places, and a
    second call goes on.
    """
    entries = wanted(run, kinds, models)
    missing = [entry for entry in entries if not lies_here(entry)]
    changed = [entry for entry in missing if entry.path.exists()]
    if changed and not force:
        raise UserError(
            f"{changed[0].path}: differs from what is published, as do {len(changed) - 1} others; nothing "
            "was brought. Move them away, or replace them: --force"
        )
    if missing:
        with opened(locked=True) as project:
            project.cache.clean()
            bring_all(project, project.sources(remote), missing)
    for entry in entries:
        encoder = entry.path.with_name(ENCODER)
        if entry.path.name == PACKED_ENCODER and (force or not encoder.is_file()):
            unpack(encoder)
    return Pulled(len(missing), len(entries) - len(missing), sum(entry.size for entry in missing))


def wanted(run: Run, kinds: Collection[str], models: Collection[str]) -> list[Entry]:
    """The published entries of some kinds and models. Raises UserError if there are none."""
    for model in models:
        run.model(model)
    everything = published(run.name)
    found = published(run.name, kinds or KINDS, models)
    if not found:
        known = ", ".join(f"{kind} ({len(entries)})" for kind, entries in everything.items())
        raise UserError(
            f"run {run.name!r}: nothing like that is published; what is: {known or 'nothing'}. "
            f"Make it with: snakemake all --config run={run.name}"
        )
    return [entry for entries in found.values() for entry in entries]


def lies_here(entry: Entry) -> bool:
    """Whether the published bytes are in their place."""
    path = entry.path
    return path.is_file() and path.stat().st_size == entry.size and md5_of(path) == entry.md5


def changed(run: Run, kinds: Collection[str], models: Collection[str]) -> list[Entry]:
    """Published entries whose files lie here with other bytes: made again since."""
    entries = [entry for listed in published(run.name, kinds or KINDS, models).values() for entry in listed]
    return [entry for entry in entries if entry.path.exists() and not lies_here(entry)]


def bring_all(project: Project, sources: list[Objects], entries: list[Entry]) -> None:
    """Bring every entry; those that no remote has are named at the end."""
    failed = []
    total = sum(entry.size for entry in entries)
    title = " and ".join(source.name for source in sources)
    with tqdm(total=total, desc=f"from {title}", unit="B", unit_scale=True, disable=None) as bar:
        for entry in entries:
            try:
                place(project.cache.bring(entry.md5, entry.size, sources), entry.path)
            except NotThere as error:
                failed.append(f"{entry.path}: object {entry.md5[:12]}: {error}")
            bar.update(entry.size)
    if failed:
        rest = (
            f"{len(entries) - len(failed)} of {len(entries)} were brought; for the others, run again later, "
        )
        raise UserError("\n".join([*failed, f"{rest}name another --remote, or make them with snakemake"]))


def place(cached: Path, path: Path) -> None:
    """Copy an object to its place in the project, atomically; what a killed pull left half made goes."""
    remove_abandoned(path.parent, f".{path.name}.*")
    with atomic_path(path) as partial:
        shutil.copyfile(cached, partial)
