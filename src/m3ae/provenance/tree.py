"""A trace as a tree of text."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from m3ae.provenance.artifacts import state_of
from m3ae.provenance.cells import Cell
from m3ae.provenance.target import Target
from m3ae.provenance.trace import Trace, Walk
from m3ae.records import Record

FEW = 4
"""Cells of one table that are named one by one."""
UNKNOWN = "no stage of this project states that it made these bytes"


class Branch(NamedTuple):
    """A line, and what hangs from it; a ``key`` that was shown before is named, not repeated."""

    line: str
    below: Callable[[], Iterable["Branch"]] = tuple
    key: tuple[str, Path | str] | None = None


class Tree:
    """The lines of a trace: what its target was made from, then what was made from it."""

    def __init__(self, trace: Trace, *, settings: bool) -> None:
        self.trace, self.chain, self.settings = trace, trace.chain, settings
        self.lines: list[str] = []
        self.seen: set[tuple[str, Path | str]] = set()

    def text(self) -> str:
        """Back, then forward."""
        target, trace = self.trace.target, self.trace
        self.lines = [target.name, "made from"]
        self.grow([*map(self.back_record, target.records), *map(self.back_file, target.sha256)], "")
        self.lines.append("used by")
        self.grow([*map(self.forward_record, target.records), *map(self.forward_file, target.sha256)], "")
        if not any(trace.cells.get(path) for path in trace.forward.records):
            self.lines.append("no printed cell")
        return "\n".join(self.lines)

    def grow(self, branches: Iterable[Branch], indent: str) -> None:
        """Each branch's line, then what hangs from it."""
        found = list(branches)
        for number, branch in enumerate(found):
            fork, beside = ("└─ ", "   ") if number == len(found) - 1 else ("├─ ", "│  ")
            if branch.key in self.seen:
                self.lines.append(f"{indent}{fork}{branch.line} (above)")
                continue
            if branch.key is not None:
                self.seen.add(branch.key)
            self.lines.append(f"{indent}{fork}{branch.line}")
            self.grow(branch.below(), indent + beside)

    def back_record(self, path: Path) -> Branch:
        """A record with code, settings, environment and inputs."""
        return Branch(title(path, self.chain.records[path]), partial(self.facts, path), ("back", path))

    def back_file(self, sha256: str, name: str = "", remark: str = "") -> Branch:
        """A file with the records of the stage that made it."""
        makers = self.chain.makers.get(sha256, [])
        line = f"{name}{self.place(sha256)}{remark}"
        return Branch(line, lambda: map(self.back_record, makers), ("back", sha256))

    def facts(self, path: Path) -> Iterator[Branch]:
        """What stands below a record."""
        record = self.chain.records[path]
        made = record.provenance
        changes = " + changes that are not in it" if made.get("uncommitted_changes") else ""
        yield Branch(f"code: commit {(made.get('commit') or '-')[:12]}{changes}, {made.get('finished', '-')}")
        yield Branch(f"config: {in_short(record)}", lambda: settings_of(record) if self.settings else ())
        yield Branch(f"environment: {environment(made)}")
        for name, sha256 in record.inputs.items():
            remark = f" ({UNKNOWN})" if self.chain.is_broken(record, name) else ""
            yield self.back_file(sha256, f"{name}: ", remark)

    def forward_record(self, path: Path) -> Branch:
        """A record with its cells, and the files that its stage made."""
        return Branch(title(path, self.chain.records[path]), partial(self.into, path), ("forward", path))

    def forward_file(self, sha256: str) -> Branch:
        """A file with the records that read it, those apart that stand deeper in the tree."""
        further = set(Walk(self.chain, Target("", [], [sha256]), forward=True).files) - {sha256}
        users = dict.fromkeys(use.record for use in self.chain.users.get(sha256, []))
        direct = [p for p in users if not further & set(self.chain.records[p].inputs.values())]
        return Branch(self.place(sha256), lambda: map(self.forward_record, direct), ("forward", sha256))

    def into(self, path: Path) -> Iterator[Branch]:
        """What stands below a record that is used."""
        yield from map(Branch, cell_lines(self.trace.cells.get(path, [])))
        yield from map(self.forward_file, self.chain.made_by(path))

    def place(self, sha256: str) -> str:
        """A file's place, whether it is there, and its hash."""
        places = self.chain.files.get(sha256, [])
        said = ", ".join(f"{path} ({state_of(path, sha256)})" for path in places)
        return f"{said or 'a file'} {sha256[:12]}"


def title(path: Path, record: Record) -> str:
    """A record in a line."""
    subject = f" of {record.subject}" if record.subject else ""
    return f"{path.as_posix()}: {record.stage}{subject}, {record.model}"


def in_short(record: Record) -> str:
    """A stage's identity in a line."""
    stated = record.settings
    seeds = ", ".join(map(str, record.seeds)) or "none"
    num = len(stated) - ("version" in stated)
    return f"stage {record.stage}, version {stated.get('version', '-')}, {num} settings, seeds: {seeds}"


def settings_of(record: Record) -> Iterator[Branch]:
    """Every setting of a stage."""
    for name, value in record.settings.items():
        yield Branch(f"{name} = {json.dumps(value)}")


def environment(made: dict[str, Any]) -> str:
    """Versions and machine in a line."""
    machine, versions = made.get("machine", {}), made.get("versions", {})
    parts = [f"{name} {version}" for name, version in versions.items() if version]
    parts += [machine[key] for key in ("processor", "accelerator") if machine.get(key)]
    return ", ".join(parts) or "-"


def cell_lines(cells: list[Cell]) -> Iterator[str]:
    """Few cells of a table one by one, many as their number."""
    for table in dict.fromkeys(cell.table for cell in cells):
        found = [cell for cell in cells if cell.table == table]
        if len(found) > FEW:
            yield f"{found[0].target}: {len(found)} cells ({table})"
            continue
        for cell in found:
            yield f"{cell.target}: {cell.words} ({table})"
