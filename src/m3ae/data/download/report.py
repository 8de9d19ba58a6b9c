"""What became of a list: by cause, by pass and by host."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from m3ae.data.download.layout import pass_folder, tars_of
from m3ae.data.raw.img2dataset import CAME, merge_passes, read_statuses, with_lost
from m3ae.data.raw.samples import Rejected
from m3ae.data.source.broken import count_lines
from m3ae.files import atomic_write

HOSTS = "-hosts.parquet"
"""Ends the name of the table of all hosts, beside the report."""

NUM_HOSTS = 50  # in the report itself
NUM_WORST = 10  # on the screen

HOST = re.compile(r"https?://(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^:/?#]*)", re.IGNORECASE)


@dataclass
class HostCount:
    """The URLs of one host."""

    asked: int = 0
    downloaded: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def row(self, host: str) -> dict[str, Any]:
        """A line of the table; ``failure`` is the most common one, the first by name among equals."""
        common = min(self.failed, key=lambda reason: (-self.failed[reason], reason), default=None)
        return {"host": host, "asked": self.asked, "downloaded": self.downloaded, "failure": common}


def count_outcomes(
    folder: Path, num_passes: int, shard_samples: int, listed: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report's counts, and a line per host, those with most URLs first. Opens no raw shard."""
    passes: list[Counter[str]] = [Counter() for _ in range(num_passes)]
    statuses = [statuses_of(pass_folder(folder, n + 1), count) for n, count in enumerate(passes)]
    failed: Counter[str] = Counter()
    hosts: dict[str, HostCount] = {}
    for status in with_lost(merge_passes(statuses), folder, shard_samples):
        failed[status.reason] += 1
        host = hosts.setdefault(host_of(status.url), HostCount())
        host.asked += 1
        if status.reason == CAME:
            host.downloaded += 1
        else:
            host.failed[status.reason] += 1
    table = [hosts[host].row(host) for host in sorted(hosts, key=lambda host: (-hosts[host].asked, host))]
    facts = {"rows": count_lines(listed), "urls": failed.total(), **split_counts(failed)}
    by_pass = [{"asked": count.total(), **split_counts(count)} for count in passes]
    return {**facts, "passes": by_pass, "hosts": table[:NUM_HOSTS]}, table


def statuses_of(folder: Path, count: Counter[str]) -> Iterator[Rejected]:
    """The outcomes of a pass, counted as they go by."""
    for tar in tars_of(folder):
        for status in read_statuses(tar):
            count[status.reason] += 1
            yield status


def split_counts(count: Counter[str]) -> dict[str, Any]:
    """Images, and failures by reason."""
    failed = {reason: count[reason] for reason in sorted(count) if reason != CAME}
    return {"downloaded": count[CAME], "failed": failed}


def host_of(url: str) -> str:
    """The host that a URL names."""
    match = HOST.match(url)
    return match[1].lower() if match else ""


def write_hosts(path: Path, hosts: list[dict[str, Any]]) -> None:
    """Write the table of all hosts."""
    fields = {"host": pa.string(), "asked": pa.int64(), "downloaded": pa.int64(), "failure": pa.string()}
    with atomic_write(path) as file:
        pq.write_table(pa.Table.from_pylist(hosts, pa.schema(fields)), file)


def yield_tables(report: dict[str, Any], hosts: Path) -> str:
    """The yield by cause, and the hosts that failed most, as tables for the screen."""
    from tabulate import tabulate

    causes = [["downloaded", report["downloaded"]], *sorted(report["failed"].items(), key=lambda f: -f[1])]
    shares = [[name, count, f"{count / report['urls']:.1%}"] for name, count in causes]
    worst = pq.read_table(hosts).to_pylist()
    worst = sorted(worst, key=lambda host: (host["downloaded"] - host["asked"], host["host"]))[:NUM_WORST]
    rows = [[host["host"], host["asked"], host["downloaded"], host["failure"] or "-"] for host in worst]
    headings = ["host", "asked", "downloaded", "most common failure"]
    return (
        tabulate(shares, headers=["outcome", "urls", "share"], intfmt=",", disable_numparse=[2])
        + "\n\n"
        + tabulate(rows, headers=headings, intfmt=",")
    )
