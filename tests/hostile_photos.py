"""A project whose list names real photographs behind a hostile server, among bad rows of every kind."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from hostile_server import BAD, MAX_BYTES, ONCE, REASONS, HostileServer
from m3ae.config.paths import Paths
from m3ae.data.source.lists import Row, write_list
from small_project import CHECKOUT

PHOTOS = CHECKOUT.parent / "shared/data/flickr8k"
GOOD = ["good", "good", "good", "good", "to-good", "no-ai-for-others", *ONCE]
"""How good rows come: most at once, some after a redirect, some in the second pass alone."""


@dataclass(frozen=True)
class Photos:
    """The photographs of a project, and what must become of each URL."""

    rows: list[Row]
    expected: dict[str, str | None]
    """URL -> reason; None: kept."""

    @property
    def num_good(self) -> int:
        return sum(reason is None for reason in self.expected.values())


def photos(server: HostileServer, count: int, bad_share: float) -> Photos:
    """``count`` photographs of Flickr8k's training split with all captions, and bad rows in between."""
    captions: dict[str, list[str]] = {}
    for line in (PHOTOS / "captions.tsv").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        captions.setdefault(name, []).append(caption)
    names = (PHOTOS / "split_train.txt").read_text().split()[:count]
    kinds = [GOOD[i % len(GOOD)] for i in range(count)] + [
        BAD[i % len(BAD)] for i in range(round(count * bad_share))
    ]
    named = [(kind, names[i % count]) for i, kind in enumerate(kinds)]
    random.Random(0).shuffle(named)
    urls = {f"{server.url}/{kind}/{name}": (kind, name) for kind, name in named}
    rows = [Row(url, caption) for url, (_, name) in urls.items() for caption in captions[name]]
    seen: set[bytes] = set()
    expected: dict[str, str | None] = {}
    for url, (kind, name) in urls.items():
        expected[url] = REASONS[kind]
        digest = hashlib.sha256(photo(name)).digest()
        if expected[url] is None and digest in seen:
            expected[url] = "image_duplicate"
        elif expected[url] is None:
            seen.add(digest)
    return Photos(rows, expected)


def photo(name: str) -> bytes:
    """The file of a photograph."""
    return (PHOTOS / "images" / name).read_bytes()


def make_project(folder: Path, rows: list[Row], **download: object) -> None:
    """A project with the run `web` and its list."""
    settings = {
        "timeout_s": 5, "total_timeout_s": 8, "max_bytes": MAX_BYTES, "passes": 3, "per_host": 16,
        "allow_networks": ["127.0.0.1/32"], "min_yield": 0.5, **download,
    }  # fmt: skip
    source = {"kind": "tsv", "train": "list.tsv", "heldout": 1}
    clean = {"short_side_px": 96, "max_pixels": 1_000_000, "min_side_px": 16, "shard_samples": 500}
    run = {"extends": "tiny", "data": {"source": source, "download": settings, "clean": clean}}
    (folder / "config").mkdir(parents=True)
    (folder / "config/web.yaml").write_text(yaml.safe_dump(run))
    write_list(folder / load_paths().list("train"), rows)


def load_paths() -> Paths:
    """Where the files of the run lie, below its project."""
    return Paths("web")


def command(folder: Path, *arguments: str) -> subprocess.Popen:
    """Our command line in a project, as a person would start it."""
    code = "from m3ae.cli.main import main; main()"
    slots = {"TMPDIR": str(folder), "M3AE_CONFIG_PATH": str(CHECKOUT / "config")}
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.Popen(
        [sys.executable, "-c", code, "data", *arguments, "--run", "web", "--split", "train"],
        cwd=folder,
        env={**environment, **slots},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(folder: Path, *arguments: str) -> None:
    """Run a command to its end."""
    process = command(folder, *arguments)
    output, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, output


def finished(folder: Path) -> dict[str, int]:
    """The raw shards that are whole, and when each was made."""
    raw = folder / load_paths().raw("train")
    return {
        str(path.relative_to(raw)): path.stat().st_mtime_ns
        for path in raw.rglob("*_stats.json")
        if path.with_name(path.name.replace("_stats.json", ".tar")).is_file() and is_json(path)
    }


def is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def killed_after(folder: Path, seconds: float) -> bool:
    """Start the download, and kill it after ``seconds``; False if it was done before that."""
    process = command(folder, "download")
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0, output
    return False


def outcome(folder: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """The clean shards as bytes, without what quotes messages; and the reason of each rejected URL."""
    shards = folder / load_paths().shards("train")
    rejected = pq.read_table(shards / "rejected.parquet").to_pylist()
    files = {path.name: path.read_bytes() for path in shards.iterdir() if path.name != "rejected.parquet"}
    return files, {row["url"]: row["reason"] for row in rejected}


def check_rows(folder: Path, given: Photos) -> Counter[str]:
    """Every bad row has its reason, and no good row is lost; the reasons, counted."""
    files, reasons = outcome(folder)
    assert reasons == {url: reason for url, reason in given.expected.items() if reason is not None}
    manifest = json.loads(files["manifest.json"])
    assert manifest["count"] == given.num_good
    return Counter(reasons.values())


def undisturbed(folder: Path, rows: list[Row], server: HostileServer, **download: object) -> float:
    """Download and clean a new project; how long the download took (seconds)."""
    make_project(folder, rows, **download)
    server.requests.clear()
    began = time.monotonic()
    finish(folder, "download")
    duration = time.monotonic() - began
    finish(folder, "clean")
    return duration


def kill_series(
    folder: Path,
    rows: list[Row],
    kills: int,
    longest_s: float,
    server: HostileServer,
    check: Callable[[Path], None],
    note: Callable[[str], None],
    **download: object,
) -> None:
    """Download new projects, with ``kills`` kills at random moments; ``check`` each when it is clean.

    Asserts after each kill that no finished raw shard is made again. The next project begins when a
    download ends before its kill comes, so that every kill hit a download that is checked in the end.
    """
    choose, done, number = random.Random(kills), 0, 0
    while done < kills:
        number += 1
        project = folder / str(number)
        make_project(project, rows, **download)
        server.requests.clear()  # what fails once, fails once more
        before: dict[str, int] = {}
        was_killed = True
        while was_killed and done < kills:
            seconds = choose.uniform(0, longest_s)
            was_killed = killed_after(project, seconds)
            done += was_killed
            now = finished(project)
            assert before.items() <= now.items(), "a finished raw shard was made again"
            what = f"kill {done:2}" if was_killed else "ended  "
            note(f"download {number:2}  {what}  after {seconds:6.1f} s  {len(now):3} raw shards")
            before = now
        finish(project, "download")
        finish(project, "clean")
        check(project)
        note(f"download {number:2}  cleaned and checked")
