"""Who made a record: the commit, the machine, and how long it took."""

from collections.abc import Iterable
from typing import Any

from m3ae.records import Record


def by_stage(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, Any]]:
    """Provenance by model and stage. A stage's records share one time: the longest is its own."""
    stages: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        key, facts = (record.model, record.stage), record.provenance
        stages[key] = max(stages.get(key, facts), facts, key=lambda p: p.get("wall_s", 0))
    return stages


def commit(facts: dict[str, Any]) -> str:
    """The commit, and whether the tree had changes that are not in it."""
    short = (facts.get("commit") or "-")[:12]
    return f"{short} + changes" if facts.get("uncommitted_changes") else short


def machine(facts: dict[str, Any]) -> str:
    """Processor, cores, accelerator."""
    found = facts.get("machine", {})
    parts = [found.get("processor"), f"{found.get('cores')} cores", found.get("accelerator")]
    return ", ".join(part for part in parts if part) if found else "-"
