"""Publish artifacts of a run: check them, send them to a remote, list them in ``results/RUN-KIND.dvc``."""

import subprocess
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from m3ae.artifacts.inventory import Artifact
from m3ae.artifacts.packed import packed, superseded, unpacked
from m3ae.artifacts.remote import EMBEDDED, LIMIT, Objects, Project, is_embedded, md5_of, opened
from m3ae.artifacts.store import Entry, dvc_file, megabytes, read_entries, write_entries
from m3ae.artifacts.verify import findings, present, selected
from m3ae.config import Run
from m3ae.errors import UserError

PRIVATE = frozenset({"shards", "tokens", "reports"})
"""Kinds that hold pictures or captions: never in git, unless the project made them itself."""


class Pushed(NamedTuple):
    """What a push did."""

    entries: dict[str, list[Entry]]
    """Published now, by kind."""
    num_sent: int
    sent: int
    """Bytes that the remote did not have."""
    files: list[Path]
    """The ``.dvc`` files to commit."""
    remote: str
    embedded: bool
    left_out: list[str]
    """Kinds that lie here but may not go into git."""


def push(
    run: Run, kinds: Collection[str] = (), models: Collection[str] = (), remote: str | None = None
) -> Pushed:
    """Publish what lies here of some kinds and models (all, where none is named).

    The lists are written when every object is there: after a failure, what was published before still is,
    and a second call sends what is missing. Raises UserError, before anything is sent, if an artifact does
    not match its record, or the embedded remote would grow beyond its limit.
    """
    with opened(locked=True) as project:
        target = project.remote(remote)
        target.clean()
        project.cache.clean()
        barred = PRIVATE if is_embedded(target) and run.settings.data.source.kind != "toy" else set()
        artifacts, left_out = publishable(run, kinds, models, barred)
        check(run, artifacts)
        artifacts = packed(artifacts) if is_embedded(target) else unpacked(artifacts)
        entries = {
            kind: [entry_of(artifact) for artifact in group]
            for kind, group in groupby(
                sorted(artifacts, key=lambda artifact: artifact.kind), key=lambda artifact: artifact.kind
            )
        }
        every = [entry for listed in entries.values() for entry in listed]
        missing = [entry for entry in distinct(every) if not target.has(entry.md5, entry.size)]
        if is_embedded(target):
            check_room(target, missing)
        send(project, target, every, missing)
        files = [publish(run.name, kind, listed) for kind, listed in entries.items()]
    sent = sum(entry.size for entry in missing)
    return Pushed(entries, len(missing), sent, files, target.name, is_embedded(target), left_out)


def publishable(
    run: Run, kinds: Collection[str], models: Collection[str], barred: Collection[str]
) -> tuple[list[Artifact], list[str]]:
    """What lies here and not in git, without barred kinds; and those barred kinds, which lie here."""
    asked = sorted(set(barred) & set(kinds))
    if asked:
        raise UserError(
            f"{asked[0]} of run {run.name!r} hold pictures or captions that are not ours to publish, and "
            f"{EMBEDDED} is in git; name another remote: --remote NAME"
        )
    in_git = tracked_by_git()
    here = [artifact for artifact in present(selected(run, kinds, models)) if artifact.path not in in_git]
    free = [artifact for artifact in here if artifact.kind not in barred]
    if not free:
        raise UserError(
            f"run {run.name!r}: nothing to push lies here"
            f"{' of ' + ', '.join(kinds) if kinds else ''}; see: m3ae artifacts list --run {run.name}"
        )
    return free, sorted({artifact.kind for artifact in here} & set(barred))


def check(run: Run, artifacts: list[Artifact]) -> None:
    """Raise UserError, with one line each, if any artifact does not match its record."""
    found = list(findings(artifacts, f"checking {run.name}"))
    if found:
        raise UserError(
            "\n".join([f"nothing was pushed, {len(found)} of {len(artifacts)} do not match:", *found])
        )


def check_room(target: Objects, missing: list[Entry]) -> None:
    """Raise UserError if the embedded remote would hold more than it may."""
    assert target.folder is not None
    held = sum(path.stat().st_size for path in target.folder.rglob("*") if path.is_file())
    new = sum(entry.size for entry in missing)
    if held + new > LIMIT:
        largest = max(missing, key=lambda entry: entry.size)
        raise UserError(
            f"{EMBEDDED} would hold {megabytes(held + new)}, of which {megabytes(new)} new (the largest: "
            f"{largest.path}, {megabytes(largest.size)}); it may hold {megabytes(LIMIT)}. Name fewer --kind "
            "or --model, or another --remote; m3ae artifacts gc removes what nothing refers to"
        )


def send(project: Project, target: Objects, entries: list[Entry], missing: list[Entry]) -> None:
    """Put every file into the cache, and those that the remote lacks there."""
    for entry in distinct(entries):
        project.cache.add(entry.path, entry.md5)
    total = sum(entry.size for entry in missing)
    with tqdm(total=total, desc=f"to {target.name}", unit="B", unit_scale=True, disable=None) as bar:
        for entry in missing:
            target.put(Path(project.cache.where(entry.md5)), entry.md5)
            bar.update(entry.size)


def publish(run: str, kind: str, entries: list[Entry]) -> Path:
    """List the entries; others of this kind, which do not lie here, stay listed, but for what is packed."""
    path = dvc_file(run, kind)
    merged = {entry.path: entry for entry in [*read_entries(path), *entries]}
    gone = superseded([entry.path for entry in entries], merged)
    write_entries(path, [entry for entry in merged.values() if entry.path not in gone])
    return path


def entry_of(artifact: Artifact) -> Entry:
    """An artifact as DVC names it."""
    return Entry(artifact.path, md5_of(artifact.path), artifact.path.stat().st_size)


def distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    """One entry for each object."""
    return iter({entry.md5: entry for entry in entries}.values())


def tracked_by_git() -> set[Path]:
    """Files below results/ and data/ that git has: they need no other store."""
    command = ["git", "ls-files", "-z", "results", "data"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    return {Path(name) for name in listed.split("\0") if name}
