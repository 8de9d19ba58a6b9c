"""What artifacts a run has, and where they lie: here, in DVC's cache, in a remote, or nowhere."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from m3ae.artifacts.remote import opened
from m3ae.artifacts.store import KINDS, Entry, dvc_file, megabytes, published
from m3ae.artifacts.verify import selected
from m3ae.config import Run
from m3ae.packing import ENCODER, PACKED_ENCODER


class Line(NamedTuple):
    """An artifact, as the list shows it."""

    run: str
    kind: str
    model: str | None
    path: str
    size: int | None
    """Bytes; None where it is neither here nor published."""
    sha256: str | None
    """As its record states it."""
    places: list[str]
    """`here`, `cache`, names of remotes; empty where it lies nowhere."""
    published: bool


def listing(
    run: Run, kinds: Collection[str] = (), models: Collection[str] = (), remote: str | None = None
) -> list[Line]:
    """The artifacts of some kinds and models, or of all, in the order of the workflow."""
    entries = {
        entry.path: entry for listed in published(run.name, KINDS, models).values() for entry in listed
    }
    places = places_of(entries.values(), remote) if entries else {}
    lines = []
    for artifact in selected(run, kinds, models):
        if artifact.path.name == PACKED_ENCODER:  # told of where it belongs
            continue
        lying = next((path for path in forms(artifact.path) if path.is_file()), None)
        entry = next((entries[path] for path in forms(artifact.path) if path in entries), None)
        size = lying.stat().st_size if lying else entry.size if entry else None
        found = [*(["here"] if lying else []), *(places[entry.path] if entry else [])]
        lines.append(
            Line(
                run.name,
                artifact.kind,
                artifact.model,
                artifact.path.as_posix(),
                size,
                artifact.sha256,
                found,
                entry is not None,
            )
        )
    return lines


def forms(path: Path) -> list[Path]:
    """As what a file may lie here or be published: encoders packed too."""
    return [path, path.with_name(PACKED_ENCODER)] if path.name == ENCODER else [path]


def known_runs() -> list[str]:
    """The runs of config/ that have results or published artifacts here."""
    runs = sorted(path.stem for path in Path("config").glob("*.yaml"))
    return [
        run
        for run in runs
        if Path("results", run).is_dir() or any(dvc_file(run, kind).exists() for kind in KINDS)
    ]


def places_of(entries: Iterable[Entry], remote: str | None) -> dict[Any, list[str]]:
    """Where the objects of published artifacts lie, besides in their place."""
    with opened() as project:
        stores = [project.cache, *project.sources(remote)]
        return {
            entry.path: [
                "cache" if store is project.cache else store.name
                for store in stores
                if store.has(entry.md5, entry.size)
            ]
            for entry in entries
        }


def table(lines: list[Line], run: str) -> str:
    """The list as text, with a line of sums for each kind."""
    rows = [
        (
            line.kind,
            line.model or "-",
            "-" if line.size is None else megabytes(line.size),
            (line.sha256 or "-")[:12],
            ", ".join(line.places) or "nowhere",
            line.path,
        )
        for line in lines
    ]
    head = ("kind", "model", "size", "sha256", "lies in", "path")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head) - 1)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in [head, *rows]
    ]
    return "\n".join([*text, "", *sums(lines, run)])


def sums(lines: list[Line], run: str) -> list[str]:
    """How many of each kind lie here and are published, and their size."""
    text = []
    for kind in dict.fromkeys(line.kind for line in lines):
        of_kind = [line for line in lines if line.kind == kind]
        here = [line for line in of_kind if "here" in line.places]
        size = sum(line.size or 0 for line in of_kind)
        out = [line for line in of_kind if line.published]
        text.append(
            f"{run} {kind}: {len(of_kind)}, of which {len(here)} here and {len(out)} published; "
            f"{megabytes(size)}"
        )
    return text
