"""A trace: from a record or file back to data, code, settings and environment, and forward to the cells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m3ae.provenance.artifacts import state_of
from m3ae.provenance.cells import Cell, cells_by_record
from m3ae.provenance.chain import Chain
from m3ae.provenance.found import RESULTS, records_below
from m3ae.provenance.target import Target, find_target
from m3ae.records import content_hash


class Trace:
    """What `m3ae trace` shows, in words (``tree``) or as JSON (``plain``)."""

    def __init__(self, chain: Chain, target: Target, cells: dict[Path, list[Cell]]) -> None:
        self.chain, self.target, self.cells = chain, target, cells
        self.back = Walk(chain, target, forward=False)
        self.forward = Walk(chain, target, forward=True)

    def plain(self) -> dict[str, Any]:
        """For JSON: nodes by path or hash, and what goes into what."""
        records = [*dict.fromkeys([*self.back.records, *self.forward.records])]
        files = [*dict.fromkeys([*self.back.files, *self.forward.files])]
        return {
            "target": self.target.name,
            "back": {"records": names(self.back.records), "files": self.back.files},
            "forward": {
                "records": names(self.forward.records),
                "files": self.forward.files,
                "cells": [
                    cell._asdict() for path in self.forward.records for cell in self.cells.get(path, [])
                ],
            },
            "records": {path.as_posix(): self.facts(path) for path in records},
            "files": {sha256: self.file(sha256) for sha256 in files},
        }

    def facts(self, path: Path) -> dict[str, Any]:
        """A record's own: what was done, by which code, with which settings, where."""
        record = self.chain.records[path]
        return {
            "stage": record.stage,
            "model": record.model,
            "run": record.run,
            "subject": record.subject,
            "sha256": content_hash(record.model_dump(mode="json")),
            "inputs": record.inputs,
            "broken": [name for name in record.inputs if self.chain.is_broken(record, name)],
            "settings": record.settings,
            "seeds": record.seeds,
            "provenance": record.provenance,
        }

    def file(self, sha256: str) -> dict[str, Any]:
        """Where a file lies, whether it is there, and who made and read it."""
        return {
            "places": {path.as_posix(): state_of(path, sha256) for path in self.chain.files.get(sha256, [])},
            "made_by": names(self.chain.makers.get(sha256, [])),
            "used_by": names(use.record for use in self.chain.users.get(sha256, [])),
        }


class Walk:
    """Every record and file that is reached from a target, each once, in the order of reaching."""

    def __init__(self, chain: Chain, target: Target, *, forward: bool) -> None:
        self.chain, self.is_forward = chain, forward
        self.records: list[Path] = []
        self.files: list[str] = []
        waiting: list[Path | str] = [*target.records, *target.sha256]
        while waiting:
            node = waiting.pop(0)
            found: list[Any] = self.records if isinstance(node, Path) else self.files
            if node not in found:
                found.append(node)
                waiting += self.next_of(node)

    def next_of(self, node: Path | str) -> Iterator[Path | str]:
        """What lies one step away."""
        chain = self.chain
        if isinstance(node, Path):
            yield from chain.made_by(node) if self.is_forward else chain.records[node].inputs.values()
        elif self.is_forward:
            yield from (use.record for use in chain.users.get(node, []))
        else:
            yield from chain.makers.get(node, [])


def names(paths: Any) -> list[str]:
    """Paths as text, each once."""
    return list(dict.fromkeys(path.as_posix() for path in paths))


def trace(asked: str) -> Trace:
    """The trace of a record, file, hash or table of the current project. Reads records alone."""
    records = {path: record for run in sorted(RESULTS.glob("*")) for path, record in records_below(run)}
    chain = Chain(records)
    return Trace(chain, find_target(chain, asked), cells_by_record())
