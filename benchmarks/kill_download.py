"""A download that is killed at 20 random moments gives the same clean shards, byte for byte.

    python benchmarks/kill_download.py > benchmarks/results/kill_download.md

Flickr8k's 6,000 training photographs (see data/README.md) behind a server on 127.0.0.1 that misbehaves on
request, with 10 % bad rows of every kind among them; some good rows come after a redirect or in the second
pass alone. One project downloads and cleans undisturbed. In others the download is killed (`kill -9`) after a
random time of up to half the undisturbed one, and started again: 20 kills over as many downloads as it takes.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the server and the project are the tests'

from hostile_photos import Photos, check_rows, kill_series, outcome, photo, photos, undisturbed
from hostile_server import HostileServer, hostile_server
from m3ae.records import processor

NUM_PHOTOS, BAD_SHARE, KILLS = 6000, 0.1, 20
SETTINGS = {"shard_samples": 600, "timeout_s": 3, "total_timeout_s": 5}


def main() -> None:
    """Run the series and print the page."""
    log: list[str] = []

    def note(line: str) -> None:
        log.append(line)
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as temporary, hostile_server(photo) as server:
        folder, given = Path(temporary), photos(server, NUM_PHOTOS, BAD_SHARE)
        whole_s, reasons = measure_whole(folder / "whole", given, server)
        expected = outcome(folder / "whole")
        note(f"undisturbed  {whole_s:.1f} s")
        compared: list[bool] = []
        began = time.monotonic()

        def check(project: Path) -> None:
            compared.append(outcome(project) == expected)

        kill_series(folder, given.rows, KILLS, whole_s / 2, server, check, note, **SETTINGS)
        series_s = time.monotonic() - began
    num_bytes = sum(len(data) for data in expected[0].values())
    print_page(given, reasons, whole_s, series_s, compared, num_bytes, log)
    if not all(compared):
        raise SystemExit("the clean shards differ")


def measure_whole(folder: Path, given: Photos, server: HostileServer) -> tuple[float, Counter[str]]:
    """The undisturbed project: seconds of its download, and its rejections, checked row by row."""
    return undisturbed(folder, given.rows, server, **SETTINGS), check_rows(folder, given)


def print_page(
    given: Photos,
    reasons: Counter[str],
    whole_s: float,
    series_s: float,
    compared: list[bool],
    num_bytes: int,
    log: list[str],
) -> None:
    """The results as Markdown."""
    bad = len(given.expected) - NUM_PHOTOS
    print("# A download killed at 20 random moments\n")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores (shared with other work).\n")
    print(f"    {Path(sys.executable).name} benchmarks/kill_download.py\n")
    print(f"{NUM_PHOTOS:,} photographs and {bad} bad rows, {SETTINGS['shard_samples']} URLs in a raw shard.")
    print(f"Undisturbed download: {whole_s:.0f} s. The series of {KILLS} kills: {series_s:.0f} s.\n")
    print(f"* killed downloads, brought to their end and compared: {len(compared)}; with the same clean")
    print(f"  shards, manifest and lists, byte for byte ({num_bytes:,} bytes): **{sum(compared)}**")
    print("* every bad row under its reason, no good row lost: asserted of the undisturbed one, row by row")
    print("* no finished raw shard made again: asserted after every kill\n")
    print("| reason | rows |\n|---|---|")
    for reason, count in sorted(reasons.items()):
        print(f"| {reason} | {count} |")
    print(
        "\nEach start, with the raw shards that were whole at its end. A download that ended before its kill"
    )
    print("came was compared and a new one begun, so that every kill hit one that was compared in the end:\n")
    print("```")
    print("\n".join(log))
    print("```")


if __name__ == "__main__":
    main()
