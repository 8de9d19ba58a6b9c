"""What an interrupted download left behind: which raw shards are whole, and whether they are still wanted."""

import json
import shutil
from pathlib import Path
from typing import Any

from m3ae.files import write_text

FINGERPRINT = "fingerprint.txt"  # not .json: img2dataset takes every JSON file for a shard's report
SCRATCH = "_tmp"  # img2dataset's own scratch folder, which it removes at its end


def discard_unlike(folder: Path, report: Path, identity: dict[str, Any]) -> None:
    """Make ``folder`` ready to go on: empty it unless it was begun with the same ``identity``.

    With the old shards goes their report, which would speak of shards that are not there.
    """
    fingerprint = json.dumps(identity, sort_keys=True, indent=1) + "\n"
    path = folder / FINGERPRINT
    if path.is_file() and path.read_text(encoding="utf-8") == fingerprint:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        return
    report.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    write_text(path, fingerprint)


def finished_shards(folder: Path) -> list[dict[str, Any]]:
    """Img2dataset's reports of the whole raw shards, in order.

    A report comes last. One that is cut short, or whose shard was removed, is deleted: the shard is
    made again.
    """
    reports = []
    for path in sorted(folder.glob("*_stats.json")):
        report = read_report(path)
        if report is None:
            path.unlink()
        else:
            reports.append(report)
    return reports


def read_report(path: Path) -> dict[str, Any] | None:
    """The report of a raw shard; None if it is not whole."""
    shard = path.name.removesuffix("_stats.json")
    if not all(path.with_name(shard + ending).is_file() for ending in (".tar", ".parquet")):
        return None
    try:
        report = json.loads(path.read_bytes())
    except ValueError:
        return None
    return report if isinstance(report, dict) and {"count", "successes"} <= report.keys() else None
