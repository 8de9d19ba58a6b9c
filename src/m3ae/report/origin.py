"""Where the numbers come from: the data, the settings, the code, the machine."""

from collections import defaultdict
from typing import Any

import pandas as pd

from m3ae.config import Run
from m3ae.data.manifest import Manifest, read_manifest
from m3ae.files import sha256_of
from m3ae.records import Record
from m3ae.report import html
from m3ae.report.differences import differences
from m3ae.report.format import rounded
from m3ae.report.paper import label
from m3ae.report.results import all_records

SPLITS = {"train": "pre-training", "heldout": "held-out"}


def data_tables(run: Run) -> str:
    """Pairs that were listed, received and kept, and why others were not."""
    manifests = read_manifests(run)
    counts = [
        {
            "pairs": SPLITS[split],
            "rows": f"{manifest.yield_.rows:,}",
            "images": f"{manifest.yield_.images:,}",
            "received": f"{manifest.yield_.received:,}",
            "kept": f"{manifest.count:,}",
            "yield": f"{100 * manifest.yield_.share:.1f} %",
        }
        for split, manifest in manifests.items()
    ]
    reasons = sorted({reason for manifest in manifests.values() for reason in manifest.rejected})
    rejected = {
        SPLITS[split]: [f"{manifest.rejected.get(reason, 0):,}" for reason in reasons]
        for split, manifest in manifests.items()
    }
    refused = pd.DataFrame({"reason": reasons, **rejected})
    kept = html.table(pd.DataFrame(counts), words=["pairs"])
    return kept + (html.table(refused, words=["reason"], caption="Rejected") if reasons else "")


def read_manifests(run: Run) -> dict[str, Manifest]:
    """The manifests of clean shards that exist, by split."""
    paths = {split: run.paths.manifest(split) for split in SPLITS}
    return {split: read_manifest(path) for split, path in paths.items() if path.is_file()}


def differences_table(run: Run) -> str:
    """Every setting in which this run differs from `paper`."""
    frame = differences(run)
    if frame.empty:
        return html.note("No setting differs from `paper`.")
    return html.table(frame, words=frame.columns)


def provenance_tables(run: Run) -> str:
    """Commit, machine, versions and wall time of every stage; checksums of manifests and weights."""
    records = [record for _, record in all_records(run)]
    stages = html.table(pd.DataFrame(stage_rows(run, records)), words=["model", "stage", "commit", "machine"])
    versions = html.table(pd.DataFrame(version_rows(records)), words=["library", "version"])
    sums = html.table(pd.DataFrame(checksum_rows(run, records)), words=["file", "SHA-256"])
    return stages + versions + sums


def stage_rows(run: Run, records: list[Record]) -> list[dict[str, str]]:
    """Model, stage, wall time, commit, machine. A stage's records share one time: the longest is its own."""
    stages: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        stages[record.model, record.stage].append(record)
    rows, total = [], 0.0
    for (model, stage), found in stages.items():
        facts = max((record.provenance for record in found), key=lambda p: p.get("wall_s", 0))
        total += facts.get("wall_s", 0)
        row = {"model": label(run, model), "stage": stage, "wall time (s)": rounded(facts.get("wall_s"))}
        rows.append({**row, "commit": commit(facts), "machine": machine(facts)})
    blank = {"stage": "all", "wall time (s)": rounded(total), "commit": "", "machine": ""}
    return [*rows, {"model": "all", **blank}] if rows else []


def commit(facts: dict[str, Any]) -> str:
    """The commit, and whether the tree had changes that are not in it."""
    short = (facts.get("commit") or "-")[:12]
    return f"{short} + changes" if facts.get("uncommitted_changes") else short


def machine(facts: dict[str, Any]) -> str:
    """Processor, cores, accelerator."""
    found = facts.get("machine", {})
    parts = [found.get("processor"), f"{found.get('cores')} cores", found.get("accelerator")]
    return ", ".join(part for part in parts if part) if found else "-"


def version_rows(records: list[Record]) -> list[dict[str, str]]:
    """Versions of Python and the libraries; several where the stages do not agree."""
    versions: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        for library, version in record.provenance.get("versions", {}).items():
            versions[library][version or "not installed"] = None
    return [{"library": library, "version": ", ".join(found)} for library, found in versions.items()]


def checksum_rows(run: Run, records: list[Record]) -> list[dict[str, str]]:
    """SHA-256 of the manifests and of every encoder, as its training recorded it."""
    rows = [
        {"file": path.as_posix(), "SHA-256": sha256_of(path)}
        for path in map(run.paths.manifest, SPLITS)
        if path.is_file()
    ]
    for record in records:
        if record.stage == "pretrain":
            path = run.paths.encoder(record.model).as_posix()
            rows.append({"file": path, "SHA-256": record.details.get("weights_sha256", "-")})
    return rows
